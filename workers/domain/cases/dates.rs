//! Dates and terms (rules 10, 11 and 13).

use serde_json::{Value, json};

use super::{cases, changed, performance, set};

const TO: &str = "/works/term/to";

cases! {
    date_malformed = "date.malformed" {
        kept "full width": set(TO, json!("２０２７－０３－１９"));
        kept "slashes": set(TO, json!("2027/3/19"));
        kept "an era": set(TO, json!("令和９年３月１９日"));
        kept "an era, short": set(TO, json!("R9.3.19"));
        broken "a word": set(TO, json!("年度末"));
        broken "eight digits": set(TO, json!("20270319"));
        broken "an optional date": set("/works/contract_date", json!("x"));
    }
    date_no_such_day = "date.no_such_day" {
        kept "a leap day": set(TO, json!("2028-02-29"));
        broken "no leap year": set(TO, json!("2027-02-29"));
        broken "no leap year of 令和": set(TO, json!("令和9年2月29日"));
        broken "a thirteenth month": set(TO, json!("2027-13-01"));
        broken "a day 0": set(TO, json!("2027-03-00"));
    }
    date_outside_era = "date.outside_era" {
        kept "the last day of 平成": set("/works/announced_on", json!("平成31年4月30日"));
        kept "the first day of 令和": set("/works/announced_on", json!("令和元年5月1日"));
        broken "a day after 平成": set("/works/announced_on", json!("平成31年5月1日"));
        broken "a day before 令和": set("/works/announced_on", json!("令和元年4月30日"));
        broken "a year 0": set("/works/announced_on", json!("令和0年5月1日"));
    }
    date_implausible = "date.implausible" {
        kept "the last day": set(TO, json!("2099-12-31"));
        kept "the first day": set("/works/announced_on", json!("2000-01-01"));
        broken "the day after": set(TO, json!("2100-01-01"));
        broken "the day before": set("/works/announced_on", json!("1999-12-31"));
    }
    term_reversed = "term.reversed" {
        kept "one day": set(TO, json!("2026-11-24"));
        broken "a day less": set(TO, json!("2026-11-23"));
    }
    fiscal_year_outside_term = "fiscal_year.outside_term" {
        kept "the only year": set("/works/fiscal_year", json!(2026));
        kept "the last year": changed(&[(TO, json!("2028-04-01")), ("/works/fiscal_year", json!(2028)), ("/products/0/this_year_base", json!(10_000_000))]);
        broken "the year after": changed(&[(TO, json!("2028-03-31")), ("/works/fiscal_year", json!(2028))]);
        broken "the year before": set("/works/fiscal_year", json!(2025));
        broken "no year at all": set("/works/fiscal_year", json!(i32::MAX));
    }
    fiscal_year_required = "fiscal_year.required" {
        kept "named": changed(&[(TO, json!("2027-04-01")), ("/products/0/this_year_base", json!(10_000_000)), ("/works/fiscal_year", json!(2026))]);
        kept "a term of one year": changed(&[(TO, json!("2027-03-31")), ("/products/0/this_year_base", json!(10_000_000))]);
        broken "a term of two": changed(&[(TO, json!("2027-04-01")), ("/products/0/this_year_base", json!(10_000_000))]);
    }
    original_contract_date_after_contract_date = "original_contract_date.after_contract_date" {
        kept "the same day": set("/works/original_contract_date", json!("2026-11-20"));
        broken "the day after": set("/works/original_contract_date", json!("2026-11-21"));
    }
    contract_date_in_future = "contract_date.in_future" {
        kept "the day of receipt": set("/works/contract_date", json!("2026-11-20"));
        kept "a performance guarantee": changed(&[("/works/contract_date", json!("2026-11-21")), ("/products/0", performance())]);
        broken "the day after": set("/works/contract_date", json!("2026-11-21"));
    }
    contract_date_required = "contract_date.required" {
        kept "a performance guarantee": changed(&[("/works/contract_date", Value::Null), ("/products/0", performance())]);
        broken "an advance": set("/works/contract_date", Value::Null);
        broken "an advance, blank": set("/works/contract_date", json!(" "));
    }
}
