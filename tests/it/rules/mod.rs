//! Generates `docs/rules.md` (for people) and `docs/rules.json` (for programs) from the list of codes.
//!
//! Both are committed and compared by a test; `HOSHO_BLESS=1 cargo test rulebook` rewrites them. A code that has once been written
//! there can leave the list only by being retired, so it is never given another meaning.

mod examples;

use std::{collections::BTreeMap, fmt::Write as _, fs, path::Path};

use hosho::domain::violation::{
    Code,
    rules::{RETIRED, Source},
};
use serde_json::{Value, json};

/// The rules of the business in our words, and where those are kept that no application can break.
const RULES: [(&str, &str); 14] = [
    (
        "An electronic guarantee is issued where the obligee takes them for the product and the kind of works, on or after its start; which date is compared with the start is the obligee's choice of six. Paper is taken everywhere.",
        "",
    ),
    (
        "A guarantee keeps its medium for life; different products of the same works may differ.",
        "Amendments: `amendment::medium`.",
    ),
    (
        "A change of the contract price alone leaves the guarantee as it is.",
        "`amendment::effect`, when its turn comes: `guarantee_history::GuaranteeHistory`.",
    ),
    (
        "An amended certificate restates the whole content after the change and shows 変更－n, counted per guarantee from 1.",
        "`revisions`, `labels::amendment`, `certificate::content`.",
    ),
    (
        "The contractor's history hides revisions that were corrected and amendments that were reversed; they are kept. A correction takes its target's number; a reversal makes the visible revision before it the current one.",
        "`revisions`, `guarantee_history::GuaranteeHistory`.",
    ),
    (
        "A guarantee is issued (電子保証発行日時) at the moment its certificate arrives in the registry; notice and mail come after.",
        "The render stage sets `revision.arrived_at`; the dispatch stage refuses to work before.",
    ),
    (
        "A mail is sent when it is wanted and never else. The authentication key stands in the notice and, sealed, in the database, and nowhere else.",
        "The dispatch stage; the mint and render stages alone hold a key in clear.",
    ),
    (
        "An advance is at most the obligee's ratio of its base (今年度対象額 where given, else 請負金額), rounded down to the obligee's unit; a minimum contract price and an absolute maximum may be set. Ratios depend on the kind of works, low-price tenders and disaster areas.",
        "The figures: `config/national.toml` and `config/obligees/`.",
    ),
    (
        "An interim advance is for works only, needs an issued advance payment guarantee for the same works and year, is measured as that was, and keeps a ratio of its own and one together with the advance.",
        "`engagement`, under the lock of the works.",
    ),
    (
        "A performance guarantee is at least the obligee's ratio of the contract price, more for a low-price tender; it may be applied for before the contract is signed.",
        "",
    ),
    (
        "A guarantee expires with the term of the works, or, for an advance, with the fiscal year of a multi-year contract it is for, if that is earlier.",
        "`application::expires_on`.",
    ),
    (
        "A cancellation needs evidence of the obligee's consent, unless the contract ended for causes on the obligee's side.",
        "`amendment::cancellation`.",
    ),
    (
        "Amounts are whole yen. Days are read in the western calendar and in eras, and written in eras on certificates. The zone is Asia/Tokyo.",
        "`wareki`, `hosho_schema::money`.",
    ),
    (
        "Banks are full-width; names keep their code points; figures and numbers are read in either width with any hyphen; what no form can hold is refused with its position.",
        "`text`.",
    ),
];

/// A message as people get it, from the rejected examples.
fn told() -> BTreeMap<&'static str, String> {
    let mut told = BTreeMap::new();
    for violation in examples::rejected() {
        told.entry(violation.code.as_str()).or_insert(violation.message_ja);
    }
    told
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
         A code is part of the contract with upstream systems: it is never renamed and never given another meaning. A broken rule is told with \
         its code, the JSON path of the value, a message in Japanese and one in English. `{…}` stands for a figure, day or word of the case; days are \
         written 令和8年11月20日 in Japanese messages and 2026-11-20 in English ones. How amounts were judged, kept rules too, comes with \
         both answers as `calculations` ([application.rejected.v1](../schema/messages/generated/application.rejected.v1.json)).\n\n\
         New codes may come: a program treats one it does not know as a reason to show the message.\n\n\
         ## The rules of the business\n\n\
         | rule | what it says | where it is kept |\n|---|---|---|\n",
    );
    for (index, (rule, kept)) in RULES.iter().enumerate() {
        let codes: Vec<String> = Code::ALL
            .iter()
            .filter(|code| code.documentation().source == rule_source(index))
            .map(|code| format!("`{code}`"))
            .collect();
        let kept = [codes.join(" "), (*kept).to_owned()]
            .iter()
            .filter(|part| !part.is_empty())
            .cloned()
            .collect::<Vec<_>>()
            .join("<br>");
        writeln!(text, "| {} | {rule} | {kept} |", index + 1).unwrap();
    }
    text.push_str("\n## The codes, in the order of the form\n");
    let told = told();
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
        if let Some(example) = told.get(code.as_str()) {
            writeln!(text, "- 例: {example}").unwrap();
        }
    }
    write!(text, "\n## Retired codes\n\nNot used any more, and never again: {}.\n", list(RETIRED)).unwrap();
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
fn the_documents_are_what_the_list_says() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("docs");
    let committed = fs::read_to_string(folder.join("rules.json")).unwrap_or_default();
    let before: Value = serde_json::from_str(&committed).unwrap_or_default();
    let codes = before["codes"].as_array().into_iter().flatten().filter_map(|entry| entry["code"].as_str());
    for code in codes.chain(before["retired"].as_array().into_iter().flatten().filter_map(Value::as_str)) {
        let known = Code::ALL.iter().any(|now| now.as_str() == code) || RETIRED.contains(&code);
        assert!(known, "{code} was given out: name it in RETIRED, it cannot just vanish");
    }
    for (name, text) in [("rules.json", format!("{:#}\n", document())), ("rules.md", markdown())] {
        if std::env::var_os("HOSHO_BLESS").is_some() {
            fs::write(folder.join(name), &text).unwrap();
        }
        let committed = fs::read_to_string(folder.join(name)).unwrap_or_default();
        assert!(
            text == committed,
            "docs/{name} has drifted: run `HOSHO_BLESS=1 cargo test rulebook` and review the change"
        );
    }
}

#[test]
fn no_retired_code_is_used_and_every_rule_has_its_place() {
    for code in Code::ALL {
        assert!(!RETIRED.contains(&code.as_str()), "{code} is retired");
        if let Source::Rule(number) = code.documentation().source {
            assert!((1..=RULES.len()).contains(&usize::from(number)), "{code} names rule {number}");
        }
    }
    for (index, (_, kept)) in RULES.iter().enumerate() {
        let coded = Code::ALL.iter().any(|code| code.documentation().source == rule_source(index));
        assert!(coded || !kept.is_empty(), "rule {}", index + 1);
    }
}
