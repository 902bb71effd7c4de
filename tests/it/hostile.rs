//! Each hostile message has one result; good applications are still issued.
//!
//! A plain client publishes all cases to one worker. The result is the event `application.rejected` (if the
//! sender can be named), a dead letter, or, for valid text that looks hostile, a guarantee. Payloads contain
//! [`CANARY`], which no log line and no header may contain.

use std::collections::BTreeMap;

use hosho_schema::models::mail::State;
use lapin::{
    BasicProperties,
    types::{AMQPValue, FieldTable},
};
use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};

use crate::harness::{
    amqp::{Client, Message, properties, text},
    evidence::{application, assert_events_keep_the_contract, squeezed},
    process::{eventually, run, within},
    secrets::Needles,
    smtp,
    test_env::{LIMIT, TestEnv},
};

/// Must appear in payloads only.
const CANARY: &str = "kanaria-7f3a";

/// The expected result of a message.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
enum Answer {
    /// `application.rejected` for this id, with this code and path.
    Rejected(String, &'static str, &'static str),
    /// Code of the dead letter.
    Dead(&'static str),
    /// A guarantee for this id.
    Issued(String),
}

struct Case {
    name: String,
    stage: &'static str,
    body: Vec<u8>,
    properties: BasicProperties,
    /// Levels of nested tables in the headers; the worker drops such properties.
    nested: usize,
    answer: Answer,
}

impl Case {
    fn new(name: &str, stage: &'static str, body: impl Into<Vec<u8>>, answer: Answer) -> Self {
        Self {
            name: name.to_owned(),
            stage,
            body: body.into(),
            properties: properties(name, &[]),
            nested: 0,
            answer,
        }
    }

    /// A body whose sender cannot be determined.
    fn dead(name: &str, body: impl Into<Vec<u8>>) -> Self {
        Self::new(name, "validate", body, Answer::Dead("message.undecodable"))
    }

    /// A valid application with one change that breaks a rule.
    fn rejected(id: &str, code: &'static str, path: &'static str, change: impl FnOnce(&mut Value)) -> Self {
        let mut wrong = application(id);
        wrong["contact"]["remarks"] = CANARY.into();
        change(&mut wrong);
        Self::new(id, "validate", wrong.to_string(), Answer::Rejected(id.to_owned(), code, path))
    }

    /// A valid application with unusual properties.
    fn issued(id: &str, properties: BasicProperties) -> Self {
        Self {
            properties,
            ..Self::new(id, "validate", application(id).to_string(), Answer::Issued(id.to_owned()))
        }
    }

    /// The message id in the result; without one, the worker uses the hash of the body.
    fn message_id(&self) -> String {
        let given = self
            .properties
            .message_id()
            .as_ref()
            .filter(|_| self.nested == 0)
            .map(|id| id.as_str().to_owned());
        given.unwrap_or_else(|| format!("sha256:{}", hex::encode(Sha256::digest(&self.body))))
    }

    fn publish(&self, env: &TestEnv, client: &Client) {
        let exchange = format!("{}work", env.prefix);
        if self.nested == 0 {
            client.publish(&exchange, self.stage, &self.body, self.properties.clone());
            return;
        }
        let mut python = std::process::Command::new("/usr/bin/python3");
        let body = std::str::from_utf8(&self.body).unwrap();
        python.args(["-c", NESTING, env.broker(), &exchange, self.stage, &self.nested.to_string(), body]);
        let output = run(python);
        assert!(output.status.success(), "{}: {}", self.name, String::from_utf8_lossy(&output.stderr));
    }
}

/// Publishes deeply nested headers, which overflow the stack of lapin.
const NESTING: &str = "
import pika, sys
url, exchange, key, levels, body = sys.argv[1:]
deep = {}
for _ in range(int(levels)):
    deep = {'n': deep}
with pika.BlockingConnection(pika.URLParameters(url)) as connection:
    channel = connection.channel()
    channel.confirm_delivery()
    properties = pika.BasicProperties(message_id='nested', headers={'note': deep, 'hosho-attempt': 3}, type='application.v1')
    channel.basic_publish(exchange, key, body.encode(), properties, mandatory=True)
";

/// The same pseudo-random bytes at every call.
fn garbage(length: usize) -> Vec<u8> {
    let mut state = 0x2545_f491_4f6c_dd1d_u64;
    let mut next = || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        state.to_le_bytes()[0]
    };
    std::iter::repeat_with(&mut next).take(length).collect()
}

/// Bodies that are not applications.
fn unreadable() -> Vec<Case> {
    let whole = application("WHOLE").to_string();
    let mut cases = vec![
        Case::dead("half an object", &whole.as_bytes()[..whole.len() / 2]),
        Case::dead("two objects", format!("{whole}{whole}")),
        Case::new("garbage", "validate", garbage(10 << 20), Answer::Dead("message.too_large")),
        Case::dead("less garbage", garbage(100_000)),
        Case::dead(
            "invalid UTF-8",
            [b"{\"source\":\"portal\",\"id\":\"", &[0xff, 0xfe, 0xc3, 0x28][..], b"\"}"].concat(),
        ),
        Case::dead("overlong UTF-8", [b"{\"source\":\"", &[0xc0, 0xaf][..], b"\",\"id\":\"x\"}"].concat()),
        Case::dead("UTF-16", whole.encode_utf16().flat_map(u16::to_le_bytes).collect::<Vec<_>>()),
        Case::dead("byte order mark", format!("\u{feff}{whole}")),
        Case::dead("nested array", "[".repeat(200) + &"]".repeat(200)),
        Case::dead("deeply nested array", "[".repeat(250_000)),
        Case::dead("deeply nested object", "{\"a\":".repeat(50_000)),
        Case::dead("empty", ""),
        Case::dead("blank", " \n\t "),
        Case::dead("null", "null"),
        Case::dead("a number", "1e999"),
        Case::dead("a text", format!("\"{CANARY}\"")),
        Case::dead("without a sender", format!("{{\"{CANARY}\":1}}")),
        Case::dead("id twice", format!("{{\"source\":\"portal\",\"id\":\"TWICE-A\",\"id\":\"{CANARY}\"}}")),
        Case::dead("id of a wrong type", "{\"source\":\"portal\",\"id\":7}"),
        Case::dead("half a character", "{\"source\":\"portal\",\"id\":\"\\ud842\"}"),
    ];
    // The same for the later stages, and messages with unknown ids.
    let unknown = "00000000-0000-5000-8000-000000000000";
    for stage in ["issue", "mint", "render", "dispatch"] {
        cases.push(Case::new(
            &format!("{stage}: an application"),
            stage,
            whole.as_str(),
            Answer::Dead("message.undecodable"),
        ));
        cases.push(Case::new(&format!("{stage}: empty"), stage, "", Answer::Dead("message.undecodable")));
        cases.push(Case::new(
            &format!("{stage}: garbage"),
            stage,
            garbage(2 << 20),
            Answer::Dead("message.too_large"),
        ));
        let job = match stage {
            "issue" => json!({"application": unknown, "line": 0}),
            _ => json!({"guarantee": unknown, "revision": 0}),
        };
        cases.push(Case::new(
            &format!("{stage}: unknown id"),
            stage,
            job.to_string(),
            Answer::Dead("reference.missing"),
        ));
        let text = job.to_string().replace(unknown, &format!("{CANARY}@example.jp';drop table mail;--"));
        cases.push(Case::new(&format!("{stage}: no id"), stage, text, Answer::Dead("reference.missing")));
        // PostgreSQL has no NUL in texts; dispatch queries by an id derived from it.
        let code = if stage == "dispatch" { "reference.missing" } else { "database.refused" };
        let text = job.to_string().replace(unknown, &format!("{CANARY}\\u0000"));
        cases.push(Case::new(&format!("{stage}: NUL"), stage, text, Answer::Dead(code)));
    }
    cases
}

/// Applications with a sender that break a rule.
fn wrong() -> Vec<Case> {
    let long = "長".repeat(10_000);
    let mut cases = vec![
        Case::rejected("unknown-obligee", "obligee.unknown", "$.obligee", |a| {
            a["obligee"] = "atlantis".into();
        }),
        Case::rejected("obligee-path", "obligee.unknown", "$.obligee", |a| {
            a["obligee"] = "../../etc/passwd".into();
        }),
        Case::rejected("not-yet", "obligee.not_yet_electronic", "$.products[0].medium", |a| {
            a["works"]["contract_date"] = "2025-11-30".into();
        }),
        Case::rejected("crlf-name", "text.control_character", "$.principal.name", |a| {
            a["principal"]["name"] = "株式会社\r\n架空".into();
        }),
        Case::rejected("crlf-mail", "text.control_character", "$.notification.mail_address", |a| {
            a["notification"]["mail_address"] =
                format!("{CANARY}@example.jp\r\nBcc: {CANARY}@example.com").into();
        }),
        Case::rejected("lf-mail", "text.control_character", "$.notification.mail_address", |a| {
            a["notification"]["mail_address"] = format!("{CANARY}@example.jp\n").into();
        }),
        Case::rejected("bidi", "text.direction_character", "$.principal.name", |a| {
            a["principal"]["name"] = "株式会社\u{202e}木土".into();
        }),
        Case::rejected("nul", "text.control_character", "$.works.name", |a| {
            a["works"]["name"] = "架空\0工事".into();
        }),
        Case::rejected("vertical-tab", "text.control_character", "$.works.name", |a| {
            a["works"]["name"] = "架空\u{b}工事".into();
        }),
        Case::rejected("line-separator", "text.control_character", "$.works.name", |a| {
            a["works"]["name"] = "架空\u{2028}工事".into();
        }),
        Case::rejected("long-name", "text.too_long", "$.principal.name", |a| {
            a["principal"]["name"] = long.as_str().into();
        }),
        Case::rejected("long-mail", "mail_address.malformed", "$.notification.mail_address", |a| {
            a["notification"]["mail_address"] = format!("{}@example.jp", "a".repeat(10_000)).into();
        }),
        Case::rejected("unknown-field", "message.malformed", "$.colour", |a| a["colour"] = CANARY.into()),
        Case::rejected("odd-field", "message.malformed", "$.…", |a| {
            a[format!("<{CANARY}@example.jp>")] = 1.into();
        }),
        Case::rejected("wrong-type", "message.malformed", "$.products", |a| a["products"] = CANARY.into()),
        Case::rejected("wrong-number", "amount.malformed", "$.products[0].amount", |a| {
            a["products"][0]["amount"] = 1.5.into();
        }),
        Case::rejected("no-products", "products.empty", "$.products", |a| a["products"] = json!([])),
        Case::rejected("nested-field", "message.malformed", "$.contact.department", |a| {
            a["contact"]["department"] = (0..100).fold(json!(CANARY), |inner, _| json!([inner]));
        }),
    ];
    // Documents that serde_json's values cannot represent.
    let written = |id: &str, body: String, path: &'static str| {
        Case::new(id, "validate", body, Answer::Rejected(id.to_owned(), "message.malformed", path))
    };
    let twice = application("key-twice").to_string().replacen('{', "{\"branch\":\"31\",", 1);
    cases.push(written("key-twice", twice, "$"));
    let deep = format!("{}{}", "[".repeat(200), "]".repeat(200));
    cases.push(written(
        "deep-field",
        application("deep-field").to_string().replacen('{', &format!("{{\"deep\":{deep},"), 1),
        "$.deep",
    ));
    let huge = application("huge-number").to_string().replacen("\"2,970,000\"", &"9".repeat(400), 1);
    assert!(huge.contains("999999"));
    cases.push(Case::dead("huge-number", huge));
    cases
}

/// Valid applications with properties of hostile clients.
fn oddly_wrapped() -> Vec<Case> {
    let header = |id: &str, name: &str, value: AMQPValue| Case::issued(id, properties(id, &[(name, value)]));
    let mut death = FieldTable::default();
    death.insert("count".into(), AMQPValue::LongLongInt(1_000_000));
    death.insert("queue".into(), text("hosho.dead"));
    let deaths = AMQPValue::FieldArray(vec![AMQPValue::FieldTable(death); 50].into());
    vec![
        Case::issued("bare", BasicProperties::default()),
        header("attempt-text", "hosho-attempt", text("many")),
        header("attempt-table", "hosho-attempt", AMQPValue::FieldTable(FieldTable::default())),
        header("attempt-most", "hosho-attempt", AMQPValue::LongLongInt(i64::from(u32::MAX))),
        header("attempt-negative", "hosho-attempt", AMQPValue::LongInt(-1)),
        header("fault-bytes", "hosho-fault", AMQPValue::LongString(vec![0xff, 0xfe].into())),
        header("first-failed", "hosho-first-failed-at", text("+999999-12-31T23:59:60Z")),
        header("death", "x-death", deaths),
        header("death-text", "x-death", text("forged")),
        header("delivery-count", "x-delivery-count", AMQPValue::LongLongInt(1_000_000)),
        header("trace", "traceparent", text(&"00-".repeat(10_000))),
        header("large", "note", text(&"髙".repeat(30_000))),
        Case { nested: 10, ..Case::issued("nested-headers", BasicProperties::default()) },
        Case { nested: 200, ..Case::issued("deeply-nested-headers", BasicProperties::default()) },
        Case::issued(
            "wrong-type-property",
            properties("wrong-type-property", &[]).with_type("issue.v1".into()),
        ),
        Case::issued("other-properties", {
            let odd = properties("\u{202e}{{id}}", &[])
                .with_correlation_id("\r\nx".into())
                .with_content_type("image/png".into());
            odd.with_content_encoding("gzip".into())
                .with_reply_to("amq.rabbitmq.trace".into())
                .with_app_id("<b>".into())
        }),
    ]
}

/// Undecodable messages with hostile properties.
fn dead_and_oddly_wrapped() -> Vec<Case> {
    let case = |name: &str, header: &str, value: AMQPValue| Case {
        properties: properties(name, &[(header, value)]),
        ..Case::dead(name, "")
    };
    let mut bare = Case::dead("no properties", "[no properties]");
    bare.properties = BasicProperties::default();
    vec![
        bare,
        case("dead: attempt-most", "hosho-attempt", AMQPValue::LongLongInt(i64::from(u32::MAX))),
        case("dead: attempt-text", "hosho-attempt", text("4294967295")),
        case("dead: forged", "x-death", text("forged")),
        case("dead: code", "hosho-fault-code", text(CANARY)),
        Case { nested: 200, ..Case::dead("dead: nested", "[deep down") },
    ]
}

/// Every result by the id of the application or of the message.
fn answers(messages: &[Message]) -> BTreeMap<String, Vec<Message>> {
    let mut answers: BTreeMap<String, Vec<Message>> = BTreeMap::new();
    for message in messages {
        let key = match (message.exchange.as_str(), message.routing_key.as_str()) {
            ("events", "application.rejected" | "guarantee.issued") => {
                message.json()["id"].as_str().unwrap().to_owned()
            }
            ("dead", _) => message.message_id().to_owned(),
            _ => continue,
        };
        answers.entry(key).or_default().push(message.clone());
    }
    answers
}

fn assert_answered(case: &Case, answers: &[Message]) {
    let name = &case.name;
    let [answer] = answers else { panic!("{name} has {} results: {answers:?}", answers.len()) };
    match &case.answer {
        Answer::Issued(_) => {
            assert_eq!(answer.routing_key, "guarantee.issued", "{name}: {}", answer.all_text());
        }
        Answer::Rejected(_, code, path) => {
            assert_eq!(answer.routing_key, "application.rejected", "{name}");
            let event = answer.json();
            let violations = event["violations"].as_array().unwrap();
            assert!(
                violations.iter().any(|found| found["code"] == *code && found["path"] == *path),
                "{name}: {violations:?}"
            );
            for message in violations
                .iter()
                .flat_map(|found| ["message_ja", "message_en"].map(|key| found[key].as_str().unwrap()))
            {
                assert!(
                    !message.is_empty() && !message.contains(CANARY) && !message.contains(char::is_control),
                    "{name}: {message}"
                );
            }
        }
        Answer::Dead(code) => {
            assert_eq!(
                (answer.exchange.as_str(), answer.routing_key.as_str()),
                ("dead", case.stage),
                "{name}"
            );
            assert_eq!(
                answer.header("hosho-fault-code").as_deref(),
                Some(*code),
                "{name}: {:?}",
                answer.header("hosho-fault")
            );
            assert!(answer.body == case.body, "{name}: the dead letter has another body");
            assert!(
                answer.header("hosho-attempt").unwrap().parse::<u32>().unwrap() >= 1
                    && answer.header("hosho-first-failed-at").is_some()
            );
            let headers = Message { body: Vec::new(), ..answer.clone() }.all_text();
            assert!(
                !headers.contains(CANARY) && !headers.contains("x-death") && !headers.contains("note="),
                "{name}: {headers}"
            );
        }
    }
}

#[test]
fn returns_one_result_for_each_hostile_message() {
    let mut env = TestEnv::new("hostility");
    // Without the first stage: the client of the harness cannot read all of its messages.
    let tap = env.tap_without("validate");
    let mut worker = env.work(&[]);
    let pid = worker.pid();
    let client = env.client();
    let mut cases: Vec<Case> =
        [unreadable(), wrong(), oddly_wrapped(), dead_and_oddly_wrapped()].into_iter().flatten().collect();
    // A good application before every tenth case.
    let hostile = cases.len();
    for at in (0..hostile).step_by(10).rev() {
        let id = format!("good-{at}");
        cases.insert(at, Case::issued(&id, properties(&id, &[])));
    }
    for case in &cases {
        case.publish(&env, &client);
    }
    let key = |case: &Case| match &case.answer {
        Answer::Rejected(id, ..) | Answer::Issued(id) => id.clone(),
        Answer::Dead(_) => case.message_id(),
    };
    let unanswered = || {
        let answered = answers(&tap.messages());
        cases
            .iter()
            .filter(|case| !answered.contains_key(&key(case)))
            .map(|case| case.name.clone())
            .collect::<Vec<_>>()
    };
    let answered = within(LIMIT, || {
        assert!(worker.is_alive(), "the worker ended: {}", worker.output());
        unanswered().is_empty().then_some(())
    });
    assert!(answered.is_some(), "no result of {:?}", unanswered());

    // Existing ids with a line or revision that does not exist.
    let status = env.status_of("good-0");
    let (application, guarantee) = (&status.application.id, &status.guarantees[0].guarantee.id);
    for (stage, job) in [
        ("issue", json!({"application": application, "line": -1})),
        ("issue", json!({"application": application, "line": i64::MAX})),
        ("mint", json!({"guarantee": guarantee, "revision": 1})),
        ("render", json!({"guarantee": guarantee, "revision": -1})),
        ("dispatch", json!({"guarantee": guarantee, "revision": i64::MIN})),
    ] {
        let case =
            Case::new(&format!("{stage} {job}"), stage, job.to_string(), Answer::Dead("reference.missing"));
        case.publish(&env, &client);
        eventually("a dead letter", LIMIT, || {
            answers(&tap.messages()).contains_key(&case.message_id()).then_some(())
        });
        cases.push(case);
    }
    assert!(worker.is_alive() && worker.pid() == pid);

    let dead = cases.iter().filter(|case| matches!(case.answer, Answer::Dead(_))).count();
    let dead_letters = env.settle_and_drain(&tap, worker, 0);
    let mut answered = answers(&tap.messages());
    let wrong: Vec<_> = cases
        .iter()
        .filter_map(|case| {
            let answers = answered.remove(&key(case)).unwrap_or_default();
            std::panic::catch_unwind(|| assert_answered(case, &answers)).err().map(|_| &case.name)
        })
        .collect();
    assert!(wrong.is_empty(), "wrong results (see above): {wrong:?}");
    assert!(answered.is_empty(), "unexpected results: {answered:?}");
    assert_eq!(dead_letters, u64::try_from(dead).unwrap());
    let good = cases.iter().filter(|case| matches!(case.answer, Answer::Issued(_))).count();
    assert_eq!((usize::try_from(env.rows("guarantee")).unwrap(), env.smtp.received().len()), (good, good));
    assert_events_keep_the_contract(&tap);

    let logs = env.logs();
    Needles::new([CANARY.to_owned()]).assert_absent("the log", &logs);
    let panics: Vec<Value> = env
        .log_lines()
        .into_iter()
        .filter(|line| line["message"].as_str().unwrap_or("").contains("panicked"))
        .collect();
    assert!(panics.is_empty(), "{panics:?}");
    let longest = logs.lines().map(str::len).max().unwrap();
    assert!(longest < 4_000, "a log line has {longest} bytes");
}

#[test]
fn prints_names_that_look_like_markup() {
    let mut env = TestEnv::new("markup");
    let tap = env.tap();
    let worker = env.work(&[]);
    let client = env.client();
    let works = "{{#each works}}<工事 a=\"1\">]]></工事><!-- --> &#x3042;&amp;{{{key}}}";
    let company = "{{number}}<b>株式会社</b>&lt;架空&gt;\"'`=\\n\\u3042%s$1";
    let representative = "代表取締役 <script>alert('x')</script>{{../key}}";
    let mut odd = application("MARKUP");
    odd["works"]["name"] = works.into();
    odd["works"]["number"] = "<i>&第1号</i>".into();
    odd["principal"]["name"] = company.into();
    odd["principal"]["representative"] = representative.into();
    odd["principal"]["address"] = "青森県<br/>平川市{{address}}".into();
    odd["products"][0]["bank"] = "<銀行>&{{bank}}".into();
    env.publish(&client, &odd);
    tap.until_events("guarantee.issued", 1);
    assert_eq!(env.settle_and_drain(&tap, worker, 0), 0);

    let status = env.status_of("MARKUP");
    let revision = &status.guarantees[0].revisions[0];
    let [certificate, notice] = [0, 1].map(|index| env.pdf_text(&revision.documents[index]));
    for (what, text) in [("certificate", &certificate), ("notice", &notice)] {
        for name in [works, company] {
            assert!(text.contains(&squeezed(name)), "{name} is not in the {what}: {text}");
        }
    }
    for name in [representative, "青森県<br/>平川市{{address}}", "＜銀行＞＆｛｛ｂａｎｋ｝｝"]
    {
        assert!(certificate.contains(&squeezed(name)), "{name} is not in the certificate: {certificate}");
    }

    assert_eq!(revision.mails.iter().map(|mail| mail.state).collect::<Vec<_>>(), [State::Accepted]);
    let received = env.smtp.received();
    let mail = smtp::parse(&received[0].file);
    assert_eq!(
        mail.shape,
        ["multipart/mixed", "multipart/alternative", "text/plain", "text/html", "application/pdf"]
    );
    let (plain, html) = (mail.text.unwrap(), mail.html.unwrap());
    for name in [works, company] {
        assert!(plain.contains(name), "{plain}");
        assert!(!html.contains(name));
        let escaped =
            name.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;").replace('"', "&quot;");
        let escaped = escaped.replace('\'', "&#x27;").replace('`', "&#x60;").replace('=', "&#x3D;");
        assert!(html.contains(&escaped), "{escaped} is not in {html}");
    }
    assert!(!html.contains("<b>") && !html.contains("<工事") && !plain.contains("&lt;b"), "{html}");
}
