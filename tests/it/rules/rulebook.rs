//! Generates `docs/rules.md` and `docs/rules.json` from the list of rules.
//! The first is for people, the second for programs.
//!
//! Both are committed, and a test compares them. `HOSHO_BLESS=1 cargo test rulebook` rewrites them. A
//! published code can leave the list only by retirement, so it never gets another meaning.

use std::{collections::BTreeMap, fmt::Write as _, fs, path::Path};

use hosho::domain::violation::{
    Code,
    rules::{RETIRED, Source},
};
use serde_json::{Value, json};

use super::examples;

/// The business rules, and the modules of those that no application can break.
const RULES: [(&str, &str); 14] = [
    (
        "An electronic guarantee is issued if the obligee accepts it for the product and the kind of works, on or after its start. The obligee selects one of six dates to compare with the start. Paper is accepted everywhere.",
        "",
    ),
    (
        "The medium of a guarantee never changes; different products of the same works may differ.",
        "Amendments: `amendment::check_medium`.",
    ),
    (
        "A change of the contract price alone does not change the guarantee.",
        "`amendment::effect`, applied by `guarantee_history::GuaranteeHistory`.",
    ),
    (
        "An amended certificate restates the whole content after the change and shows 変更－n, counted per guarantee from 1.",
        "`revisions`, `labels::amendment`, `certificate::build`.",
    ),
    (
        "The contractor's history hides corrected revisions and reversed amendments; they stay stored. A correction takes its target's number; a reversal makes the visible revision before its target the current one.",
        "`revisions`, `guarantee_history::GuaranteeHistory`.",
    ),
    (
        "A guarantee is issued (電子保証発行日時) when its certificate arrives in the registry; notice and mail follow.",
        "The render stage sets `revision.arrived_at`; the dispatch stage requires it.",
    ),
    (
        "A mail is sent only if the applicant wants it. Only the notice contains the authentication key, and the database contains it sealed.",
        "The dispatch stage; only the mint and render stages decrypt a key.",
    ),
    (
        "An advance is at most the obligee's ratio of its base (今年度対象額 if given, else 請負金額), rounded down to the obligee's unit. A minimum contract price and an absolute maximum may be set. Ratios depend on the kind of works, low-price tenders and disaster areas.",
        "The values: `config/national.toml` and `config/obligees/`.",
    ),
    (
        "An interim advance is for construction only. It needs an issued advance payment guarantee for the same works and year, with the same kind of base. It has a ratio of its own, and one together with the advance.",
        "`commitment`, under the lock of the works.",
    ),
    (
        "A performance guarantee is at least the obligee's ratio of the contract price, more for a low-price tender; it may be applied for before the contract is signed.",
        "",
    ),
    (
        "A guarantee expires at the end of the term of the works. An advance for one fiscal year of a multi-year contract expires at the end of that year, if that is earlier.",
        "`application::expires_on`.",
    ),
    (
        "A cancellation needs evidence of the obligee's consent, unless the contract ended for causes on the obligee's side.",
        "`amendment::check_cancellation`.",
    ),
    (
        "Amounts are whole yen. Dates are accepted in the western calendar and in eras; certificates use eras. The time zone is Asia/Tokyo.",
        "`wareki`, `hosho_schema::money`.",
    ),
    (
        "Bank names are full-width; other names keep their code points. Amounts and numbers are accepted in either width with any hyphen. An invalid character is rejected with its position.",
        "`text`.",
    ),
];

/// One message for each code, from the rejected examples.
fn messages() -> BTreeMap<&'static str, String> {
    let mut messages = BTreeMap::new();
    for violation in examples::rejected() {
        messages.entry(violation.code.as_str()).or_insert(violation.message_ja);
    }
    messages
}

fn source(source: Source) -> String {
    match source {
        Source::Rule(number) => format!("rule {number}"),
        Source::Form => "the form".to_owned(),
        Source::Contract => "the message".to_owned(),
    }
}

fn markdown() -> String {
    let mut text = String::from(
        "# Rules and their codes\n\n\
         Generated from `workers/domain/violation/rules.rs`; [rules.json](rules.json) is the same for programs.\n\n\
         A code is part of the contract with upstream systems: it is never renamed and never gets another meaning. A broken rule is \
         reported with its code, the JSON path of the value, a message in Japanese and one in English. `{…}` is replaced by a value; \
         dates are written 令和8年11月20日 in Japanese messages and 2026-11-20 in English ones. Both results contain the checks of \
         amounts, of kept rules too, as `calculations` ([application.rejected.v1](../schema/messages/generated/application.rejected.v1.json)).\n\n\
         New codes may be added. A program shows the message of an unknown code.\n\n\
         ## Business rules\n\n\
         | rule | text | codes and modules |\n|---|---|---|\n",
    );
    for (index, (rule, modules)) in RULES.iter().enumerate() {
        let codes: Vec<String> = Code::ALL
            .iter()
            .filter(|code| code.documentation().source == rule_source(index))
            .map(|code| format!("`{code}`"))
            .collect();
        let enforced_by = [codes.join(" "), (*modules).to_owned()]
            .iter()
            .filter(|part| !part.is_empty())
            .cloned()
            .collect::<Vec<_>>()
            .join("<br>");
        writeln!(text, "| {} | {rule} | {enforced_by} |", index + 1).unwrap();
    }
    text.push_str("\n## Codes, in the order of the form\n");
    let messages = messages();
    for code in Code::ALL {
        let documentation = code.documentation();
        write!(
            text,
            "\n### `{code}`\n\n{} *From {}.*\n\n- 日本語: {}\n- English: {}\n",
            documentation.rule,
            source(documentation.source),
            documentation.message_ja,
            documentation.message_en
        )
        .unwrap();
        if let Some(example) = messages.get(code.as_str()) {
            writeln!(text, "- 例: {example}").unwrap();
        }
    }
    write!(text, "\n## Retired codes\n\nNo longer used, and never reused: {}.\n", list(RETIRED)).unwrap();
    text
}

fn rule_source(index: usize) -> Source {
    Source::Rule(u8::try_from(index + 1).unwrap())
}

fn list(codes: &[&str]) -> String {
    codes.iter().map(|code| format!("`{code}`")).collect::<Vec<_>>().join(", ")
}

fn document() -> Value {
    let codes: Vec<Value> = Code::ALL
        .iter()
        .map(|code| {
            let documentation = code.documentation();
            let (origin, rule) = match documentation.source {
                Source::Rule(number) => ("rule", Some(number)),
                Source::Form => ("form", None),
                Source::Contract => ("message", None),
            };
            json!({
                "code": code.as_str(), "says": documentation.rule, "source": origin, "rule": rule,
                "message_ja": documentation.message_ja, "message_en": documentation.message_en,
            })
        })
        .collect();
    json!({ "codes": codes, "retired": RETIRED })
}

#[test]
fn documents_agree_with_the_rule_list() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("docs");
    let committed = fs::read_to_string(folder.join("rules.json")).unwrap_or_default();
    let before: Value = serde_json::from_str(&committed).unwrap_or_default();
    let codes = before["codes"].as_array().into_iter().flatten().filter_map(|entry| entry["code"].as_str());
    for code in codes.chain(before["retired"].as_array().into_iter().flatten().filter_map(Value::as_str)) {
        let known = Code::ALL.iter().any(|now| now.as_str() == code) || RETIRED.contains(&code);
        assert!(known, "{code} is published: add it to RETIRED");
    }
    for (name, text) in [("rules.json", format!("{:#}\n", document())), ("rules.md", markdown())] {
        if std::env::var_os("HOSHO_BLESS").is_some() {
            fs::write(folder.join(name), &text).unwrap();
        }
        let committed = fs::read_to_string(folder.join(name)).unwrap_or_default();
        assert!(
            text == committed,
            "docs/{name} is outdated: run `HOSHO_BLESS=1 cargo test rulebook` and review the change"
        );
    }
}

#[test]
fn every_rule_is_enforced_and_retired_codes_unused() {
    for code in Code::ALL {
        assert!(!RETIRED.contains(&code.as_str()), "{code} is retired");
        if let Source::Rule(number) = code.documentation().source {
            assert!((1..=RULES.len()).contains(&usize::from(number)), "{code} names rule {number}");
        }
    }
    for (index, (_, modules)) in RULES.iter().enumerate() {
        let coded = Code::ALL.iter().any(|code| code.documentation().source == rule_source(index));
        assert!(coded || !modules.is_empty(), "rule {}", index + 1);
    }
}
