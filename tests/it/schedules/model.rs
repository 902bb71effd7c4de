//! The expected results, from the documents of the applications alone.
//!
//! The application that is decided first takes the id and the works. All other results follow from the
//! document.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::Value;

use super::senders::{Sent, Submission};

/// A product line that becomes a guarantee.
pub struct Line {
    pub product: String,
    pub electronic: bool,
    /// Of the mail.
    pub recipient: Option<String>,
}

/// The application that took an id.
pub struct Outcome {
    pub document: Value,
    /// Empty if it is rejected.
    pub lines: Vec<Line>,
}

pub struct Expected {
    /// By the sender's id.
    pub applications: BTreeMap<String, Outcome>,
    /// Descriptions of the result events; each is published at least once.
    pub events: BTreeSet<String>,
}

impl Expected {
    /// `decided` are the bodies that validate decided, in order.
    pub fn of(sent: &Sent, decided: &[Vec<u8>]) -> Self {
        let mut expected = Self { applications: BTreeMap::new(), events: BTreeSet::new() };
        let mut works = BTreeSet::new();
        for document in decided.iter().filter_map(|body| serde_json::from_slice::<Value>(body).ok()) {
            // Other JSON has no sender.
            let Some(submission) = sent.submissions.iter().find(|submission| submission.document == document)
            else {
                continue;
            };
            expected.decide(submission, &mut works);
        }
        let decided: BTreeSet<&String> = expected.applications.keys().collect();
        let sent: BTreeSet<String> =
            sent.submissions.iter().map(|submission| text(&submission.document["id"])).collect();
        assert_eq!(decided, sent.iter().collect(), "not every application was decided");
        expected
    }

    fn decide(&mut self, submission: &Submission, works: &mut BTreeSet<String>) {
        let document = &submission.document;
        let id = text(&document["id"]);
        if let Some(known) = self.applications.get(&id) {
            if known.document != *document {
                self.events.insert(format!("application.rejected {id} application.id_reused"));
            }
            return;
        }
        let products = document["products"].as_array().unwrap();
        let mut codes = submission.broken.clone();
        if codes.is_empty() && !works.insert(text(&document["works"]["name"])) {
            codes = vec!["product.already_applied"; products.len()];
        }
        let mut lines = Vec::new();
        if codes.is_empty() {
            self.events.insert(format!("application.accepted {id}"));
            lines.extend(products.iter().map(|product| line(document, product)));
            for (number, line) in lines.iter().enumerate() {
                let mail = if line.recipient.is_some() { "accepted" } else { "not_wanted" };
                self.events.insert(format!("guarantee.issued {id} {number} {} {mail}", line.product));
            }
        } else {
            self.events.insert(format!("application.rejected {id} {}", codes.join(" ")));
        }
        self.applications.insert(id, Outcome { document: document.clone(), lines });
    }

    /// Every line that becomes a guarantee.
    pub fn lines(&self) -> impl Iterator<Item = &Line> {
        self.applications.values().flat_map(|outcome| &outcome.lines)
    }
}

fn line(document: &Value, product: &Value) -> Line {
    let notification = &document["notification"];
    let electronic = product["medium"] == "electronic";
    let recipient =
        (electronic && notification["wanted"] == true).then(|| text(&notification["mail_address"]));
    Line { product: text(&product["product"]), electronic, recipient }
}

pub fn text(value: &Value) -> String {
    value.as_str().unwrap().to_owned()
}

pub fn describe(key: &str, event: &Value) -> String {
    let id = text(&event["id"]);
    match key {
        "application.rejected" => {
            let codes: Vec<String> = event["violations"]
                .as_array()
                .unwrap()
                .iter()
                .map(|violation| text(&violation["code"]))
                .collect();
            format!("{key} {id} {}", codes.join(" "))
        }
        "guarantee.issued" => {
            format!("{key} {id} {} {} {}", event["line"], text(&event["product"]), text(&event["mail"]))
        }
        _ => format!("{key} {id}"),
    }
}
