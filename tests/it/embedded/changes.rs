//! Changes of a guarantee: 変更－1, its 訂正, 変更－2, its 変更取消, 解約.

use std::path::PathBuf;

use hosho_schema::models::{authentication_key, guarantee, revision};
use serde_json::{Value, json};

use super::{CliEnv, Transcript, applications, key_in, squeezed, text_of};
use crate::harness::test_env::example;

/// Application and line of the changed guarantee: 前払金保証 of the first example.
const NUMBER_OF: (&str, i64) = ("2026-0001", 0);

/// The processed examples, and one guarantee to change.
struct ChangeTest {
    env: CliEnv,
    number: String,
    version: i64,
}

impl ChangeTest {
    fn new() -> Self {
        let env = CliEnv::new();
        let answer = env.process(&example("applications.jsonl"));
        assert_eq!((answer.code, answer.err.as_str()), (Some(0), ""), "{}", answer.out);
        let statuses = env.statuses(&example("applications.jsonl"));
        let status = statuses.iter().find(|status| status.application.upstream_id == NUMBER_OF.0).unwrap();
        let found = status.guarantees.iter().find(|found| found.guarantee.line == NUMBER_OF.1).unwrap();
        let number = found.guarantee.number.clone();
        Self { env, number, version: 0 }
    }

    /// The content of the application with another end of 工期, 請負金額 and 保証金額.
    fn content(to: &str, price: i64, amount: i64) -> Value {
        let application = &applications()[0];
        let mut works = application["works"].clone();
        works["term"]["to"] = to.into();
        works["contract_price"] = price.into();
        let line = &application["products"][0];
        let product = json!({ "medium": line["medium"], "amount": amount, "bank": line["bank"], "redeposit": line["redeposit"] });
        json!({ "works": works, "principal": application["principal"], "product": product })
    }

    /// A change with the next version; `more` overrides its fields.
    fn change(&mut self, kind: &str, more: &Value) -> Value {
        self.version += 1;
        let mut change = json!({
            "kind": kind, "source": "portal", "id": format!("c-{}", self.version), "guarantee": self.number, "version": self.version,
        });
        change.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        change
    }

    fn send(&self, changes: &[Value]) -> (Option<i32>, Value) {
        let lines: Vec<String> = changes.iter().map(Value::to_string).collect();
        self.env.report(&self.env.file("changes.jsonl", lines.join("\n")))
    }

    /// Sends a change, runs the nightly batch unless it is urgent; its result.
    fn apply(&self, change: &Value) -> Value {
        let (code, report) = self.send(std::slice::from_ref(change));
        assert_eq!(code, Some(0), "{report}");
        if change["urgent"] != true {
            assert_eq!(report["changes"][0]["state"], "pending", "{report}");
            self.night();
        }
        let (code, report) = self.send(std::slice::from_ref(change));
        assert_eq!(code, Some(0), "{report}");
        assert_eq!(report["changes"][0]["state"], "effective", "{report}");
        report["changes"][0].clone()
    }

    fn night(&self) -> Value {
        let answer = self.env.run(["batch", "start", "--out", "out", "--reason", "a night", "--json"]);
        assert_eq!((answer.code, answer.err.as_str()), (Some(0), ""), "{}", answer.out);
        serde_json::from_str(&answer.out).unwrap()
    }

    fn history(&self) -> Value {
        let answer = self.env.run(["history", &self.number, "--all", "--json", "--out", "out"]);
        assert_eq!((answer.code, answer.err.as_str()), (Some(0), ""));
        serde_json::from_str(&answer.out).unwrap()
    }

    /// The certificates that the contractor sees: No. and 対象.
    fn seen(&self) -> Vec<(i64, String)> {
        let history = self.history();
        let lines = history["certificates"].as_array().unwrap();
        assert!(lines.iter().all(|line| line["arrived_at"].is_string()));
        lines
            .iter()
            .map(|line| (line["no"].as_i64().unwrap(), line["target"].as_str().unwrap().to_owned()))
            .collect()
    }

    fn mails(&self) -> usize {
        super::files_below(&self.env.path("out/mail")).len()
    }

    /// The stored key.
    fn sealed(&self) -> Vec<u8> {
        let mut db = self.env.database().get().unwrap();
        let found = guarantee::by_number(&mut db, &self.number).unwrap().unwrap();
        authentication_key::by_guarantees(&mut db, &[&found.id]).unwrap()[0].clone().unwrap().sealed
    }

    #[track_caller]
    fn certificate_says(&self, made: &Value, expected: &[&str], absent: &[&str]) {
        let text = squeezed(&text_of(&self.env.path(PathBuf::from(made["certificate"].as_str().unwrap()))));
        for expected in expected {
            assert!(text.contains(&squeezed(expected)), "{expected} is not in {text}");
        }
        for absent in absent {
            assert!(!text.contains(absent), "{absent} is in {text}");
        }
    }

    fn verified(&self) -> Option<i32> {
        self.env.run(["verify-chain", "--out", "out"]).code
    }
}

fn targets(lines: &[(i64, &str)]) -> Vec<(i64, String)> {
    lines.iter().map(|(no, target)| (*no, (*target).to_owned())).collect()
}

#[test]
fn amends_corrects_reverses_and_cancels_a_guarantee() {
    let mut test = ChangeTest::new();
    let (key, sealed, mut mails) =
        (key_in(&test.env.path(format!("out/notices/{}.pdf", test.number))), test.sealed(), test.mails());
    let title = "保証証書（前払金保証）";
    assert_eq!(test.seen(), targets(&[(1, "新規")]));

    // 変更－1: the term and the price, at night.
    let change = test
        .change("amendment", &json!({ "after": ChangeTest::content("2027-05-31", 42_350_000, 16_900_000) }));
    let made = test.apply(&change);
    test.certificate_says(
        &made,
        &[title, "変更－1", "令和9年5月31日", "42,350,000円", "16,900,000円", &test.number],
        &["変更－2", &key],
    );
    assert_eq!(test.seen(), targets(&[(1, "新規"), (2, "変更－1")]));
    mails += 1;
    assert_eq!(
        (key_in(&test.env.path(made["notice"].as_str().unwrap())), test.mails()),
        (key.clone(), mails)
    );

    // 訂正 of 変更－1, at once: the same number.
    let correction = json!({
        "urgent": true, "revision": 1, "reason": "終期の誤記", "after": ChangeTest::content("2027-05-30", 42_350_000, 16_900_000),
    });
    let change = test.change("correction", &correction);
    let made = test.apply(&change);
    test.certificate_says(
        &made,
        &[title, "変更－1", "令和9年5月30日", "16,900,000円"],
        &["変更－2", "令和9年5月31日"],
    );
    assert_eq!(test.seen(), targets(&[(1, "新規"), (2, "変更－1")]));
    mails += 1;
    assert_eq!(
        (key_in(&test.env.path(made["notice"].as_str().unwrap())), test.mails()),
        (key.clone(), mails)
    );

    // 変更－2, and 変更取消 of it.
    let change = test.change(
        "amendment",
        &json!({ "after": ChangeTest::content("2027-06-30", 42_350_000, 16_940_000 - 40_000 + 10_000) }),
    );
    let made = test.apply(&change);
    test.certificate_says(&made, &[title, "変更－2", "令和9年6月30日", "16,910,000円"], &["変更－1"]);
    assert_eq!(test.seen(), targets(&[(1, "新規"), (2, "変更－1"), (3, "変更－2")]));
    mails += 1;
    assert_eq!(test.mails(), mails);
    let change = test.change("amendment_reversal", &json!({ "revision": 2, "reason": "延長の合意解除" }));
    assert_eq!(test.apply(&change)["certificate"], Value::Null);
    assert_eq!(test.seen(), targets(&[(1, "新規"), (2, "変更－1")]));
    // The corrected revision is in force again.
    assert_eq!(test.history()["state"], "in_force");
    let mut texts = Transcript::new(&test.env);
    texts.run(&["history", &test.number, "--out", "out"]);
    insta::assert_snapshot!(texts.redacted());

    // 解約.
    let end =
        json!({ "cancelled_on": "2027-03-31", "cause": "consent", "evidence": "同意書 令和9年3月25日" });
    let change = test.change("cancellation", &end);
    let made = test.apply(&change);
    test.certificate_says(
        &made,
        &["保証契約の解約のお知らせ", "令和9年3月31日", "変更－1", &test.number],
        &[&key],
    );
    let history = test.history();
    assert_eq!((&history["state"], &history["ended_on"]), (&"cancelled".into(), &"2027-03-31".into()));
    assert_eq!(test.seen(), targets(&[(1, "新規"), (2, "変更－1")]));
    // A reversal and a cancellation send no mail.
    assert_eq!((test.mails(), test.sealed()), (mails, sealed));

    let all: Vec<(&str, bool, bool)> = history["all"]["revisions"]
        .as_array()
        .unwrap()
        .iter()
        .map(|step| (step["target"].as_str().unwrap(), step["visible"] == true, step["holds"] == true))
        .collect();
    let expected = [
        ("新規", true, false),
        ("変更－1", false, false),
        ("変更－1（訂正）", true, true),
        ("変更－2", false, false),
        ("変更－2の取消", false, false),
        ("解約", false, false),
    ];
    assert_eq!(all, expected);
    let reason = |at: usize| history["all"]["revisions"][at]["why"].as_str().unwrap();
    insta::assert_snapshot!([1, 2, 3].map(reason).join("\n"), @r"
    change c-1 of portal (version 1); hidden by 変更－1（訂正） (revision 2)
    change c-2 of portal (version 2); 終期の誤記
    change c-3 of portal (version 3); hidden by 変更－2の取消 (revision 4)
    ");
    assert!(!history.to_string().contains(&key));

    // No change is possible after the end.
    let change = test
        .change("amendment", &json!({ "after": ChangeTest::content("2027-07-31", 42_350_000, 16_900_000) }));
    let (code, report) = test.send(&[change]);
    assert_eq!(
        (code, &report["rejected"][0]["violations"][0]["code"]),
        (Some(1), &"guarantee.ended".into()),
        "{report}"
    );

    assert_eq!(test.verified(), Some(0));
    let answer = test.env.run(["documents", "verify", "--all", "--out", "out"]);
    assert_eq!(answer.code, Some(0), "{}", answer.out);
}

#[test]
fn applies_amendments_of_one_night_once_in_order() {
    let mut test = ChangeTest::new();
    let first = test
        .change("amendment", &json!({ "after": ChangeTest::content("2027-05-31", 42_350_000, 16_900_000) }));
    let second = test
        .change("amendment", &json!({ "after": ChangeTest::content("2027-06-30", 42_350_000, 16_910_000) }));
    let third = test
        .change("amendment", &json!({ "after": ChangeTest::content("2027-06-30", 42_360_000, 16_910_000) }));
    let (code, report) = test.send(&[
        third.clone(),
        second.clone(),
        first.clone(),
        second.clone(),
        first.clone(),
        third.clone(),
    ]);
    assert_eq!(code, Some(0), "{report}");
    let run = test.night();
    assert_eq!(
        (&run["state"], &run["total"], &run["reissued"]),
        (&"complete".into(), &1.into(), &1.into()),
        "{run}"
    );
    let (_, report) = test.send(&[first, second, third]);
    let became: Vec<(&str, &str)> = report["changes"]
        .as_array()
        .unwrap()
        .iter()
        .map(|change| (change["state"].as_str().unwrap(), change["what"].as_str().unwrap()))
        .collect();
    // After the second, the third changes only the price.
    assert_eq!(became[..2], [("effective", "変更－1"), ("effective", "変更－2")]);
    assert_eq!(became[2].0, "unchanged");
    test.certificate_says(
        &report["changes"][1],
        &["変更－2", "令和9年6月30日", "16,910,000円", "42,350,000円"],
        &["変更－3"],
    );
    assert_eq!(test.seen(), targets(&[(1, "新規"), (2, "変更－1"), (3, "変更－2")]));
    assert_eq!(test.night()["run"], Value::Null, "no change is pending");
    // An older version never overwrites a newer one.
    test.version = 1;
    let mut late = test
        .change("amendment", &json!({ "after": ChangeTest::content("2027-04-30", 42_350_000, 16_900_000) }));
    late["id"] = "late".into();
    let (code, report) = test.send(std::slice::from_ref(&late));
    assert_eq!((code, &report["rejected"][0]["violations"][0]["code"]), (Some(1), &"version.taken".into()));
    late["version"] = 1.into();
    late["id"] = "later".into();
    let (_, report) = test.send(&[late]);
    assert_eq!(report["rejected"][0]["violations"][0]["code"], "version.taken");
}

#[test]
fn reports_every_broken_rule_of_a_change() {
    let mut test = ChangeTest::new();
    let codes = |report: &Value| -> Vec<(String, String)> {
        let violations = report["rejected"][0]["violations"].as_array().unwrap();
        violations
            .iter()
            .map(|one| (one["code"].as_str().unwrap().to_owned(), one["path"].as_str().unwrap().to_owned()))
            .collect()
    };
    let owned = |codes: &[(&str, &str)]| -> Vec<(String, String)> {
        codes.iter().map(|(code, path)| ((*code).to_owned(), (*path).to_owned())).collect()
    };
    let mut bad = test
        .change("amendment", &json!({ "after": ChangeTest::content("2027-05-31", 42_350_000, 17_000_000) }));
    bad["after"]["product"]["medium"] = "paper".into();
    bad["after"]["product"]["bank"] = Value::Null;
    bad["version"] = 0.into();
    let (code, report) = test.send(&[bad]);
    assert_eq!(code, Some(1));
    let expected = [
        ("version.not_positive", "$.version"),
        ("bank.required", "$.after.product.bank"),
        ("amount.exceeds_cap", "$.after.product.amount"),
        ("medium.fixed", "$.after.product.medium"),
    ];
    let mut found = codes(&report);
    found.sort();
    let mut wanted = owned(&expected);
    wanted.sort();
    assert_eq!(found, wanted);

    for (kind, more, expected) in [
        (
            "amendment",
            json!({ "guarantee": "99999-99999Z", "after": ChangeTest::content("2027-05-31", 1, 1) }),
            ("guarantee.unknown", "$.guarantee"),
        ),
        (
            "amendment",
            json!({ "guarantee": "3107", "after": ChangeTest::content("2027-05-31", 1, 1) }),
            ("guarantee.malformed", "$.guarantee"),
        ),
        // For another system the guarantee does not exist.
        (
            "amendment_reversal",
            json!({ "source": "stranger", "revision": 1, "reason": "x" }),
            ("guarantee.unknown", "$.guarantee"),
        ),
        ("amendment_reversal", json!({ "revision": 1, "reason": "x" }), ("revision.unknown", "$.revision")),
        (
            "amendment_reversal",
            json!({ "revision": 0, "reason": "x" }),
            ("revision.not_an_amendment", "$.revision"),
        ),
        (
            "correction",
            json!({ "revision": 1, "reason": " ", "after": ChangeTest::content("2027-05-31", 42_350_000, 16_900_000) }),
            ("revision.unknown", "$.revision"),
        ),
        (
            "cancellation",
            json!({ "cancelled_on": "2027-03-31", "cause": "consent" }),
            ("cancellation.consent_required", "$.evidence"),
        ),
        (
            "cancellation",
            json!({ "cancelled_on": "2020-03-31", "cause": "obligee_cause" }),
            ("cancelled_on.before_issue", "$.cancelled_on"),
        ),
        (
            "cancellation",
            json!({ "cancelled_on": "2027-03-31", "cause": "weather" }),
            ("message.malformed", "$.cause"),
        ),
        (
            "amendment",
            json!({ "after": ChangeTest::content("2027-05-31", 42_350_000, 16_900_000), "surprise": 1 }),
            ("message.malformed", "$.surprise"),
        ),
    ] {
        let change = test.change(kind, &more);
        let (code, report) = test.send(std::slice::from_ref(&change));
        assert_eq!(code, Some(1), "{change}: {report}");
        assert!(codes(&report).contains(&owned(&[expected])[0]), "{change}: {report}");
    }

    // A message of an unknown kind is a dead letter.
    let good = test
        .change("amendment", &json!({ "after": ChangeTest::content("2027-05-31", 42_350_000, 16_900_000) }));
    let (code, report) =
        test.send(&[json!({ "kind": "wish", "source": "portal", "id": "w-1" }), good.clone()]);
    assert_eq!(
        (code, &report["summary"]["failed"], &report["summary"]["changes"]),
        (Some(1), &1.into(), &1.into()),
        "{report}"
    );
    // The same id with another content changes nothing.
    let mut other = good.clone();
    other["after"]["works"]["name"] = "別の工事".into();
    let (code, report) = test.send(&[other]);
    assert_eq!(
        (code, &report["rejected"][0]["violations"][0]["code"]),
        (Some(1), &"change.id_reused".into()),
        "{report}"
    );
}

#[test]
fn verify_chain_finds_altered_and_removed_rows() {
    let mut test = ChangeTest::new();
    let urgent =
        json!({ "urgent": true, "after": ChangeTest::content("2027-05-31", 42_350_000, 16_900_000) });
    let change = test.change("amendment", &urgent);
    test.apply(&change);
    let change =
        test.change("amendment_reversal", &json!({ "urgent": true, "revision": 1, "reason": "合意解除" }));
    test.apply(&change);
    assert_eq!(test.verified(), Some(0));
    let id = {
        let mut db = test.env.database().get().unwrap();
        guarantee::by_number(&mut db, &test.number).unwrap().unwrap().id
    };
    let certificate_of = |revision: i64| {
        let mut db = test.env.database().get().unwrap();
        revision::by_keys(&mut db, &[(&id, revision)]).unwrap().remove(0).unwrap().0.id
    };
    let whole = std::fs::read(test.env.path("out/hosho.sqlite")).unwrap();
    let last = certificate_of(2);
    let mut texts = Transcript::new(&test.env);
    for statement in [
        format!(
            "update revision set content = replace(content, '16900000', '26900000') where id = '{}'",
            certificate_of(1)
        ),
        format!("update revision set kind = 'amendment', target = null where id = '{last}'"),
        format!("delete from revision where id = '{last}'"),
        format!(
            "delete from revision where id = '{last}'; update chain_head set revisions = 2, head_sha256 = \
             (select content_sha256 from revision where id = '{}') where guarantee_id = '{id}'",
            certificate_of(1)
        ),
        format!("delete from chain_head where guarantee_id = '{id}'"),
        format!("update guarantee set ended_on = '2027-01-01' where id = '{id}'"),
    ] {
        super::alter(&test.env, &statement);
        let json = test.env.run(["verify-chain", "--out", "out", "--json"]);
        let report: Value = serde_json::from_str(&json.out).unwrap();
        let faults = report["faults"].as_array().unwrap();
        assert!(!faults.is_empty() && faults.iter().all(|fault| fault["number"] == *test.number), "{report}");
        assert_eq!((json.code, texts.run(&["verify-chain", "--out", "out"]).code), (Some(1), Some(1)));
        for suffix in ["", "-wal", "-shm"] {
            let _ = std::fs::remove_file(test.env.path(format!("out/hosho.sqlite{suffix}")));
        }
        std::fs::write(test.env.path("out/hosho.sqlite"), &whole).unwrap();
    }
    assert_eq!(texts.run(&["verify-chain", "--out", "out"]).code, Some(0));
    insta::assert_snapshot!(texts.redacted());
}

#[test]
fn chain_holds_after_the_table_is_renamed() {
    let mut test = ChangeTest::new();
    let change = test.change(
        "amendment",
        &json!({ "urgent": true, "after": ChangeTest::content("2027-05-31", 42_350_000, 16_900_000) }),
    );
    test.apply(&change);
    let down = concat!(
        include_str!("../../../schema/migrations/sqlite/0005_segments/down.sql"),
        include_str!("../../../schema/migrations/sqlite/0004_revision/down.sql"),
        "delete from __diesel_schema_migrations where version in ('0004', '0005');"
    );
    super::alter(&test.env, down);
    let applied = hosho_schema::db::migrate(&mut test.env.database().get().unwrap()).unwrap();
    assert_eq!(applied, ["0004_revision", "0005_segments"]);
    assert_eq!(test.verified(), Some(0));
}

#[test]
fn reissues_documents_only_for_a_changed_template() {
    let test = ChangeTest::new();
    let count_changed = |env: &CliEnv| -> Value {
        let answer = env.run(["reissue", "--template-changed", "--dry-run", "--json", "--out", "out"]);
        assert_eq!(answer.code, Some(0), "{}{}", answer.out, answer.err);
        serde_json::from_str::<Value>(&answer.out).unwrap()["guarantees"].clone()
    };
    assert_eq!(count_changed(&test.env), 0);
    let (before, mails) = (test.seen(), test.mails());
    let folder = test.env.copy_of("templates");
    let notice = folder.join("notice/notice.hbs");
    let template = std::fs::read_to_string(&notice).unwrap().replace("電子保証にかかる", "電子保証に係る");
    std::fs::write(&notice, template).unwrap();
    let with_edited = |arguments: &[&str]| {
        let mut command = test.env.hosho(arguments);
        command.env("HOSHO__TEMPLATES__FOLDER", &folder);
        super::answer(command)
    };
    let count = with_edited(&["reissue", "--template-changed", "--dry-run", "--json", "--out", "out"]);
    assert_eq!(count.out.split_whitespace().collect::<String>(), r#"{"guarantees":16}"#, "{}", count.err);
    assert_eq!(
        with_edited(&["reissue", "--template-changed", "--out", "out"]).code,
        Some(2),
        "a reason is required"
    );
    let run =
        with_edited(&["reissue", "--template-changed", "--reason", "new words", "--json", "--out", "out"]);
    let run: Value = serde_json::from_str(&run.out).unwrap_or_else(|_| panic!("{}{}", run.out, run.err));
    assert_eq!(
        (&run["state"], &run["redrawn"], &run["failed"]),
        (&"complete".into(), &16.into(), &0.into()),
        "{run}"
    );
    let again = ["reissue", "--template-changed", "--reason", "again", "--out", "out"];
    insta::assert_snapshot!(with_edited(&again).out, @"There is nothing to do.");
    // The revision and its mails are the same; the history names the reissue.
    assert_eq!((test.seen(), test.mails()), (before, mails));
    let history = test.history();
    let again = history["all"]["redrawn"].as_array().unwrap();
    assert_eq!(again.len(), 2);
    assert!(again.iter().all(|one| one["reason"] == "new words" && one["target"] == "新規"), "{again:?}");
    let audit = test.env.run(["audit", "--action", "reissue", "--json", "--out", "out"]);
    let audit: Value = serde_json::from_str(&audit.out).unwrap();
    assert_eq!(audit["items"][0]["reason"], "new words", "{audit:#}");
    let verify = with_edited(&["documents", "verify", "--all", "--out", "out"]);
    assert_eq!(verify.code, Some(0), "{}", verify.out);
    let exported = test.env.run([
        "documents",
        "export",
        &test.number,
        "--kind",
        "notice",
        "--to",
        "again.pdf",
        "--reason",
        "a look",
        "--out",
        "out",
    ]);
    assert_eq!(exported.code, Some(0), "{}", exported.err);
    assert!(squeezed(&text_of(&test.env.path("again.pdf"))).contains("電子保証に係る"));
}
