//! Reads results for assertions: rows, documents, mails, messages, logs.

use std::{collections::BTreeMap, path::Path, process::Command, time::Duration};

use hosho::keys::KeyRing;
use hosho_schema::{
    db::Connection,
    ids,
    messages::MediumV1,
    models::{authentication_key, document::Document},
    queries::status::ApplicationStatus,
};
use lapin::types::ShortString;
use serde_json::Value;

use super::{
    amqp::{Client, Tap},
    contract,
    documents::{StoredDocuments, pdf_text},
    postgres,
    process::{eventually, run},
    secrets::Needles,
    test_env::{LIMIT, TestEnv, example},
};

/// State that a repeated message must not change.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Evidence {
    /// Every row of every table, sorted.
    pub rows: Vec<String>,
    /// Every document of the store with its hash, by segment and position.
    pub documents: BTreeMap<(String, u64), String>,
    pub mails: usize,
}

impl Evidence {
    /// Panics with the differences.
    pub fn assert_same(&self, later: &Self) {
        let missing: Vec<_> = self.rows.iter().filter(|row| !later.rows.contains(row)).collect();
        let new: Vec<_> = later.rows.iter().filter(|row| !self.rows.contains(row)).collect();
        assert!(self.rows == later.rows, "rows changed\nbefore: {missing:#?}\nafter: {new:#?}");
        assert_eq!(self.documents, later.documents, "documents changed");
        assert_eq!(self.mails, later.mails, "mails were sent");
    }
}

/// The authentication keys by number. Panics if one does not match its hash.
pub fn opened_keys(
    db: &mut Connection,
    ring: &Path,
    statuses: &[ApplicationStatus],
) -> BTreeMap<String, String> {
    let ring = KeyRing::load(ring).unwrap();
    let guarantees: Vec<_> =
        statuses.iter().flat_map(|status| &status.guarantees).map(|found| &found.guarantee).collect();
    let ids: Vec<&str> = guarantees.iter().map(|guarantee| guarantee.id.as_str()).collect();
    let rows = authentication_key::by_guarantees(db, &ids).unwrap();
    let mut keys = BTreeMap::new();
    for (guarantee, row) in guarantees.into_iter().zip(rows) {
        let number = &guarantee.number;
        assert_eq!(row.is_some(), guarantee.medium == MediumV1::Electronic, "key of {number}");
        let Some(row) = row else { continue };
        let key = ring.open(&row.data_key_id, &row.sealed, &guarantee.id).unwrap();
        assert_eq!(ring.lookup_hash(number, &key), row.lookup_hash, "keyed hash of {number}");
        keys.insert(number.clone(), key.expose().to_owned());
    }
    keys
}

/// A product line of an application document.
#[derive(Debug, Clone)]
pub struct Line {
    pub source: String,
    pub id: String,
    pub index: i64,
    /// Wire name.
    pub product: String,
    /// Wire name.
    pub medium: String,
    /// Recipient, if a mail must be sent.
    pub mail: Option<String>,
}

pub fn lines(file: &Path) -> Vec<Line> {
    let text = std::fs::read_to_string(file).unwrap();
    text.lines().flat_map(|line| lines_of(&serde_json::from_str(line).unwrap())).collect()
}

pub fn lines_of(application: &Value) -> Vec<Line> {
    let text = |value: &Value| value.as_str().unwrap().to_owned();
    let notification = &application["notification"];
    let address =
        notification["mail_address"].as_str().filter(|_| notification["wanted"] == true).map(str::to_owned);
    let products = application["products"].as_array().unwrap().iter().zip(0..);
    products
        .map(|(product, index)| Line {
            source: text(&application["source"]),
            id: text(&application["id"]),
            index,
            product: text(&product["product"]),
            medium: text(&product["medium"]),
            mail: address.clone().filter(|_| product["medium"] == "electronic"),
        })
        .collect()
}

/// A valid application for one electronic guarantee, with its own works.
pub fn application(id: &str) -> Value {
    let text = std::fs::read_to_string(example("applications.jsonl")).unwrap();
    let mut application: Value = serde_json::from_str(text.lines().nth(5).unwrap()).unwrap();
    application["id"] = id.into();
    // A product can be applied for once for the same works.
    let name = format!("{}（{id}）", application["works"]["name"].as_str().unwrap());
    application["works"]["name"] = name.into();
    application["notification"]["mail_address"] = format!("{}@kanaria.example.jp", id.to_lowercase()).into();
    application
}

impl TestEnv {
    pub fn client(&self) -> Client {
        Client::connect(self.broker())
    }

    /// Publishes an application as an upstream system does.
    pub fn publish(&self, client: &Client, application: &Value) {
        let properties =
            lapin::BasicProperties::default().with_type("application.v1".into()).with_delivery_mode(2);
        client.publish(
            &format!("{}work", self.prefix),
            "validate",
            application.to_string().as_bytes(),
            properties,
        );
    }

    /// A listener on every exchange of the env.
    pub fn tap(&self) -> Tap {
        self.tap_without("")
    }

    /// A listener on every exchange of the env, without the messages for one stage.
    pub fn tap_without(&self, without: &str) -> Tap {
        let stages = hosho::stages::NAMES.iter().filter(|stage| **stage != without);
        let mut bindings: Vec<(&str, String)> = stages
            .flat_map(|stage| [("work", (*stage).to_owned()), ("work", format!("{stage}.bulk"))])
            .collect();
        bindings.push(("events", "#".to_owned()));
        let fanouts = [
            "dead", "unrouted", "wait.1s", "wait.3s", "wait.8s", "wait.20s", "wait.45s", "wait.2m",
            "wait.5m", "wait.12m",
        ];
        bindings.extend(
            fanouts.into_iter().chain(["wait.30m", "wait.60m"]).map(|exchange| (exchange, String::new())),
        );
        Tap::open(self.broker(), &self.prefix, &bindings)
    }

    /// Publishes a file with `examples/enqueue.py`; the `results` events it received.
    pub fn enqueue_and_listen(&self, file: &Path, results: usize) -> Vec<Value> {
        let mut command = Command::new("/usr/bin/python3");
        command.arg(example("enqueue.py")).arg(file).args(["--url", self.broker(), "--prefix", &self.prefix]);
        command.args(["--listen", &results.to_string(), "--timeout", "120"]);
        let output = run(command);
        assert!(output.status.success(), "enqueue.py: {}", String::from_utf8_lossy(&output.stderr));
        let events: Vec<Value> = String::from_utf8(output.stdout)
            .unwrap()
            .lines()
            .map(|line| serde_json::from_str(line).unwrap())
            .collect();
        assert_eq!(events.len(), results, "{}", String::from_utf8_lossy(&output.stderr));
        events
    }

    pub fn evidence(&self) -> Evidence {
        // Newer versions of pg_dump add a random word ("restrict"). Heartbeats of workers change all the
        // time.
        let dump = postgres::dump_without(&self.database, &["worker", "worker_stage"]);
        let mut rows: Vec<String> =
            dump.lines().filter(|line| !line.contains("restrict ")).map(str::to_owned).collect();
        rows.sort();
        let stored = StoredDocuments::open(&self.path("")).all().0.into_iter();
        let documents = stored.map(|(segment, one)| ((segment, one.position), one.header.sha256)).collect();
        Evidence { rows, documents, mails: self.smtp.received().len() }
    }

    /// As [`opened_keys`].
    pub fn keys(&self, statuses: &[ApplicationStatus]) -> BTreeMap<String, String> {
        self.with_database(|db| opened_keys(db, &self.path("hosho.keys"), statuses))
    }

    pub fn document(&self, document: &Document) -> Vec<u8> {
        StoredDocuments::open(&self.path("")).read(document)
    }

    /// The text of a stored document as pdftotext extracts it, without white space.
    pub fn pdf_text(&self, document: &Document) -> String {
        squeezed(&pdf_text(&self.document(document)))
    }

    /// Every log line of every worker so far. Panics unless each is one JSON object.
    pub fn log_lines(&self) -> Vec<Value> {
        let lines = self.logs();
        lines
            .lines()
            .map(|line| {
                serde_json::from_str(line)
                    .unwrap_or_else(|error| panic!("a log line is not JSON: {error}: {line}"))
            })
            .collect()
    }

    /// Waits for at least `count` log lines with this message.
    pub fn until_logged(&self, message: &str, count: usize) -> Vec<Value> {
        eventually(&format!("{count} log lines {message:?}"), LIMIT, || {
            // The last line may be incomplete.
            let logs = self.logs();
            let lines = logs.lines().filter_map(|line| serde_json::from_str::<Value>(line).ok());
            let found: Vec<Value> = lines.filter(|line| line["message"] == message).collect();
            (found.len() >= count).then_some(found)
        })
    }

    pub fn status_of(&self, id: &str) -> ApplicationStatus {
        let mut found = self.statuses(&[("portal".to_owned(), id.to_owned())]);
        assert_eq!(found.len(), 1, "{id}");
        found.remove(0)
    }

    /// Panics if logs, messages, events, mails or rows contain a forbidden secret.
    pub fn assert_discreet(&self, tap: &Tap, keys: &Needles, addresses: &Needles, names: &Needles) {
        assert!(!self.log_lines().is_empty());
        let logs = self.logs();
        keys.assert_absent("the log", &logs);
        addresses.assert_absent("the log", &logs);
        names.assert_absent("the log", &logs);
        for message in tap.messages() {
            let (text, place) =
                (message.all_text(), format!("a message to {} {}", message.exchange, message.routing_key));
            keys.assert_absent(&place, &text);
            if !message.routing_key.starts_with("validate") {
                addresses.assert_absent(&place, &text);
                names.assert_absent(&place, &text);
            }
        }
        for mail in self.smtp.received() {
            let parsed = super::smtp::parse(&mail.file);
            keys.assert_absent(
                "a mail",
                &format!("{:?} {:?} {:?} {mail:?}", parsed.headers, parsed.text, parsed.html),
            );
            let raw = String::from_utf8(std::fs::read(&mail.file).unwrap()).unwrap();
            keys.assert_absent("a mail as it was sent", &raw);
        }
        keys.assert_absent("the database", &postgres::dump(&self.database));
        StoredDocuments::open(&self.path("")).assert_sealed();
    }

    /// Waits for an idle pipeline, stops the worker, and counts the dead letters.
    ///
    /// No other message may be left in any queue.
    /// `taken_away` is the number of messages that the test removed.
    pub fn settle_and_drain(&self, tap: &Tap, worker: super::process::Child, taken_away: usize) -> u64 {
        eventually("a settled pipeline", LIMIT, || tap.is_settled(taken_away).then_some(()));
        let mut left = self.drain(worker);
        // A dead letter is in its queue, or the ingester stored it.
        let dead = left.remove("dead").unwrap_or(0) + u64::try_from(self.rows("failed_message")).unwrap();
        assert!(left.is_empty(), "{left:?}");
        dead
    }
}

/// Validates every event against its schema, and its properties.
pub fn assert_events_keep_the_contract(tap: &Tap) {
    for message in tap.messages().iter().filter(|message| message.exchange == "events") {
        let kind = message.properties.kind().as_ref().map_or("", |kind| kind.as_str()).to_owned();
        assert_eq!(kind.strip_suffix(".v1"), Some(message.routing_key.as_str()));
        assert_eq!(contract::faults(&kind, &message.json()), Vec::<String>::new(), "{kind}");
        let source = message.json()["source"].as_str().unwrap().to_owned();
        let id = message.json()["id"].as_str().unwrap().to_owned();
        assert_eq!(message.correlation_id(), ids::application(&source, &id), "{kind}");
        assert_eq!(message.properties.delivery_mode(), &Some(2), "{kind} is not persistent");
        assert_eq!(
            message.properties.content_type().as_ref().map(ShortString::as_str),
            Some("application/json"),
            "{kind}"
        );
    }
}

/// Without white space.
pub fn squeezed(text: &str) -> String {
    text.chars().filter(|character| !character.is_whitespace()).collect()
}

/// Longest time a clean stop may take.
pub const STOP: Duration = Duration::from_secs(30);
