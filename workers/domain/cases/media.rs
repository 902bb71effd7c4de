//! Media and obligee (rules 1, 2 and 12).

use hosho_schema::messages::{CancellationCauseV1, MediumV1, ProductV1};
use serde_json::{Value, json};

use super::{Codes, after, alone, cases, changed, committed, day, on, performance, set};
use crate::{amendment, certificate};

/// The codes at an obligee whose start is 2026-11-20, with one date of the works.
fn start(obligee: &str, field: &str, date: &str) -> Codes {
    changed(&[
        ("/obligee", json!(obligee)),
        ("/works/contract_date", json!("2026-11-01")),
        (&format!("/works/{field}"), json!(date)),
    ])
}

cases! {
    obligee_not_electronic = "obligee.not_electronic" {
        kept "paper": changed(&[("/obligee", json!("paper")), ("/products/0/medium", json!("paper"))]);
        broken "electronic": set("/obligee", json!("paper"));
    }
    obligee_product_not_accepted = "obligee.product_not_accepted" {
        kept "the product it takes": changed(&[("/obligee", json!("performance-only")), ("/products/0", performance())]);
        kept "another on paper": changed(&[("/obligee", json!("performance-only")), ("/products/0/medium", json!("paper"))]);
        broken "another": set("/obligee", json!("performance-only"));
    }
    obligee_kind_not_accepted = "obligee.kind_not_accepted" {
        kept "another on paper":
            changed(&[("/works/kind", json!("design")), ("/products/0/medium", json!("paper")), ("/products/0/amount", json!(1))]);
        broken "another": changed(&[("/works/kind", json!("design")), ("/products/0/amount", json!(1))]);
    }
    obligee_date_missing = "obligee.date_missing" {
        kept "given": start("notified", "notified_on", "2026-11-20");
        kept "paper": changed(&[("/obligee", json!("notified")), ("/products/0/medium", json!("paper"))]);
        kept "the limits' date given": changed(&[("/obligee", json!("changed")), ("/works/announced_on", json!("2026-11-20"))]);
        broken "absent": set("/obligee", json!("notified"));
        broken "the award absent": set("/obligee", json!("awarded"));
        broken "the limits' date absent": set("/obligee", json!("changed"));
    }
    obligee_not_yet_electronic = "obligee.not_yet_electronic" {
        kept "契約締結日, the day": changed(&[("/obligee", json!("signed")), ("/works/contract_date", json!("2026-11-20"))]);
        kept "公告日, the day": start("announced", "announced_on", "2026-11-20");
        kept "公告又は指名日, the 公告日": start("designated", "announced_on", "2026-11-20");
        kept "公告又は指名日, the 指名日": start("designated", "designated_on", "2026-11-20");
        kept "当初契約日, the day":
            changed(&[("/obligee", json!("original")), ("/works/original_contract_date", json!("2026-11-20"))]);
        kept "通知日, the day": start("notified", "notified_on", "2026-11-20");
        kept "落札決定日, the day": start("awarded", "awarded_on", "2026-11-20");
        kept "an older contract under a transitional rule": start("transitional", "announced_on", "2026-11-01");
        kept "before the contract": changed(&[("/obligee", json!("signed")), ("/works/contract_date", Value::Null), ("/products/0", performance())]);
        broken "契約締結日, the day before": changed(&[("/obligee", json!("signed")), ("/works/contract_date", json!("2026-11-19"))]);
        broken "公告日, the day before": start("announced", "announced_on", "2026-11-19");
        broken "公告又は指名日, the day before": start("designated", "announced_on", "2026-11-19");
        broken "公告又は指名日, the 指名日 the day before": start("designated", "designated_on", "2026-11-19");
        broken "当初契約日, the day before":
            changed(&[("/obligee", json!("original")), ("/works/original_contract_date", json!("2026-11-19"))]);
        broken "通知日, the day before": start("notified", "notified_on", "2026-11-19");
        broken "落札決定日, the day before": start("awarded", "awarded_on", "2026-11-19");
        broken "an older contract the day before the start":
            on(day(2026, 11, 19), &[("/obligee", json!("transitional")), ("/works/contract_date", json!("2026-11-01"))]);
        broken "before the contract, the day before":
            on(day(2026, 11, 19), &[("/obligee", json!("signed")), ("/works/contract_date", Value::Null), ("/products/0", performance())]);
    }
    medium_fixed = "medium.fixed" {
        kept "an amendment in the same medium": alone(amendment::check_medium(&certificate::tests::sample(), MediumV1::Electronic));
        kept "another product in another medium":
            after(&[committed(ProductV1::Performance, MediumV1::Paper, 1_000_000, None)], &[]);
        broken "an amendment in another medium": alone(amendment::check_medium(&certificate::tests::sample(), MediumV1::Paper));
        broken "an application in another medium":
            after(&[committed(ProductV1::AdvancePayment, MediumV1::Paper, 1_000_000, None)], &[]);
    }
    cancellation_consent_required = "cancellation.consent_required" {
        kept "with evidence": alone(amendment::check_cancellation(CancellationCauseV1::Consent, Some("同意書 令和8年11月20日")));
        kept "a cause on the obligee's side": alone(amendment::check_cancellation(CancellationCauseV1::ObligeeCause, None));
        broken "without": alone(amendment::check_cancellation(CancellationCauseV1::Consent, None));
        broken "with a blank": alone(amendment::check_cancellation(CancellationCauseV1::Consent, Some("　")));
    }
}
