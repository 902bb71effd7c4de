//! Parties, deposit and mail address.

use serde_json::{Value, json};

use super::{cases, changed, performance, set};

fn joint_venture(members: usize) -> Value {
    let company =
        json!({ "name": "株式会社若葉建設", "address": "若葉県", "representative": "代表取締役 青木 一郎" });
    json!({ "kind": "joint_venture", "name": "髙﨑・若葉特定建設工事共同企業体", "representative": company, "members": vec![company.clone(); members] })
}

cases! {
    members_missing = "members.missing" {
        kept "one": set("/principal", joint_venture(1));
        broken "none": set("/principal", joint_venture(0));
    }
    members_too_many = "members.too_many" {
        kept "twenty": set("/principal", joint_venture(20));
        broken "one more": set("/principal", joint_venture(21));
    }
    bank_required = "bank.required" {
        kept "a performance guarantee without": set("/products/0", performance());
        broken "absent": set("/products/0/bank", Value::Null);
        broken "blank": set("/products/0/bank", json!("　"));
    }
    redeposit_required = "redeposit.required" {
        kept "a performance guarantee without": set("/products/0", performance());
        broken "absent": set("/products/0/redeposit", Value::Null);
    }
    mail_address_required = "mail_address.required" {
        kept "not wanted": changed(&[("/notification", json!({ "wanted": false }))]);
        broken "blank": set("/notification/mail_address", json!(" "));
        broken "absent": set("/notification/mail_address", Value::Null);
    }
    mail_address_malformed = "mail_address.malformed" {
        kept "spaces around it": set("/notification/mail_address", json!(" keiri@example.jp　"));
        kept "not wanted": changed(&[("/notification", json!({ "wanted": false, "mail_address": "none\r\n" }))]);
        kept "a Japanese domain": set("/notification/mail_address", json!("keiri@例え.jp"));
        broken "a Japanese name": set("/notification/mail_address", json!("鈴木@example.jp"));
        broken "too long": set("/notification/mail_address", json!(format!("{}@example.jp", "a".repeat(244))));
        broken "no domain": set("/notification/mail_address", json!("keiri"));
        broken "two": set("/notification/mail_address", json!("a@example.jp,b@example.jp"));
    }
}
