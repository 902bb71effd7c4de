//! The message contract.

use hosho_schema::messages::{ApplicationV1, decode};
use serde_json::json;

use super::{Codes, base, cases, changed, set};
use crate::violation::Violation;

fn payload(payload: &str) -> Codes {
    match decode::<ApplicationV1>(payload.as_bytes()) {
        Ok(_) => vec![],
        Err(error) => Violation::malformed::<ApplicationV1>(payload.as_bytes(), &error)
            .iter()
            .map(|violation| violation.code.as_str())
            .collect(),
    }
}

cases! {
    message_not_json = "message.not_json" {
        kept "white space around it": payload(&format!(" {}\n", base()));
        broken "nothing": payload("");
        broken "cut off": payload(&base().to_string()[..100]);
        broken "something after it": payload(&format!("{} x", base()));
        broken "a bare word": payload("hello");
    }
    message_malformed = "message.malformed" {
        kept "optional fields left out": payload(&base().to_string());
        kept "an amount as text": payload(&base().to_string().replace("10000000", "\"１０，０００，０００\""));
        broken "an unknown field": payload(&base().to_string().replace("\"branch\"", "\"brunch\":1,\"branch\""));
        broken "a missing field": payload(&base().to_string().replace("\"branch\":\"31\",", ""));
        broken "a boolean for an amount": payload(&base().to_string().replace("10000000", "true"));
        broken "an array for an object": payload("[]");
        broken "an unknown product": payload(&base().to_string().replace("advance_payment", "bid"));
    }
    source_malformed = "source.malformed" {
        kept "64 characters": set("/source", json!("a".repeat(64)));
        kept "every kind of character": set("/source", json!("A.z_0:-"));
        broken "65 characters": set("/source", json!("a".repeat(65)));
        broken "empty": set("/source", json!(""));
        broken "a space": set("/source", json!("a b"));
    }
    id_malformed = "id.malformed" {
        kept "64 characters": set("/id", json!("9".repeat(64)));
        broken "65 characters": set("/id", json!("9".repeat(65)));
        broken "Japanese": set("/id", json!("あ"));
    }
    application_id_reused = "application.id_reused" {
        kept "the first time": changed(&[]);
        // The stage that stores applications compares the content, and tests it.
        broken "another content": vec![Violation::id_reused("portal", "a-1").code.as_str()];
    }
    branch_unknown = "branch.unknown" {
        kept "full width with spaces": set("/branch", json!(" ３１"));
        broken "no such code": set("/branch", json!("32"));
        broken "empty": set("/branch", json!(""));
    }
    obligee_unknown = "obligee.unknown" {
        kept "full width": set("/obligee", json!("ｏｐｅｎ"));
        broken "no such code": set("/obligee", json!("closed"));
    }
}
