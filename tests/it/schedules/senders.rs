//! Applications of every kind, some of them twice, and undeliverable messages.

use hosho::{
    broker::{Envelope, History, Lane},
    stages::validate,
};
use hosho_schema::ids;
use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};

use super::faulty_broker::{FaultyBroker, Queue};
use crate::crashes::applications::{Dice, throw};

/// A stage that does not exist.
const NOWHERE: &str = "nowhere";

/// An application, and the rules that it breaks without any other application.
#[derive(Clone)]
pub struct Submission {
    pub document: Value,
    pub broken: Vec<&'static str>,
}

/// A message that becomes a dead letter.
pub struct Undeliverable {
    /// Of the failed message.
    pub id: String,
    pub stage: &'static str,
    pub code: &'static str,
    pub payload: Vec<u8>,
}

pub struct Sent {
    /// Each application once. Several may have the same id or the same works.
    pub submissions: Vec<Submission>,
    pub undeliverable: Vec<Undeliverable>,
}

struct Senders<'a> {
    broker: &'a FaultyBroker,
    dice: &'a mut Dice,
    source: String,
    sent: usize,
}

/// The `source` of every application of a schedule.
pub fn source(seed: u64) -> String {
    format!("schedule-{seed:016x}")
}

/// Sends messages at random.
pub fn send(broker: &FaultyBroker, dice: &mut Dice, seed: u64) -> Sent {
    let mut senders = Senders { broker, dice, source: source(seed), sent: 0 };
    let submissions = senders.submissions(seed);
    for submission in &submissions {
        senders.application(submission);
    }
    let undeliverable =
        (0..senders.dice.below(3)).map(|number| senders.undeliverable(number, &submissions[0])).collect();
    Sent { submissions, undeliverable }
}

impl Senders<'_> {
    /// Two to four applications, and some that conflict with them.
    fn submissions(&mut self, seed: u64) -> Vec<Submission> {
        let count = 2 + self.dice.below(3);
        let submission = |document: &Value| {
            let mut document = document.clone();
            document["source"] = json!(self.source);
            // Works of this schedule only.
            document["works"]["name"] =
                json!(format!("{}{seed:016x}", document["works"]["name"].as_str().unwrap()));
            Submission { document, broken: Vec::new() }
        };
        let mut thrown: Vec<Submission> = throw(self.dice, count + 1)
            .iter()
            .map(|application| submission(application.document()))
            .collect();
        let spare = thrown.pop();
        let mut submissions = Vec::new();
        for submission in thrown {
            match self.dice.below(8) {
                0 => submissions.push(self.broken(submission)),
                1 => {
                    // Another application for the same works.
                    let mut rival = submission.clone();
                    rival.document["id"] =
                        json!(format!("{}-rival", submission.document["id"].as_str().unwrap()));
                    submissions.extend([submission, rival]);
                }
                _ => submissions.push(submission),
            }
        }
        if let Some(mut other) = spare.filter(|_| self.dice.chance(25)) {
            // Other content with a used id.
            other.document["id"] = submissions[self.dice.below(submissions.len())].document["id"].clone();
            submissions.push(if self.dice.chance(25) { self.broken(other) } else { other });
        }
        submissions
    }

    /// The same application with an error.
    fn broken(&mut self, mut submission: Submission) -> Submission {
        let document = &mut submission.document;
        let code = match self.dice.below(3) {
            0 => {
                document["obligee"] = json!("atlantis");
                "obligee.unknown"
            }
            1 => {
                document["works"]["contract_price"] = json!(-5);
                "amount.not_positive"
            }
            _ => {
                document["notification"] =
                    json!({ "wanted": true, "mail_address": "keiri at drill.example.com" });
                "mail_address.malformed"
            }
        };
        submission.broken = vec![code];
        submission
    }

    /// Sends an application, one in four twice, perhaps with other white space.
    fn application(&mut self, submission: &Submission) {
        let times = 1 + usize::from(self.dice.chance(25));
        for _ in 0..times {
            let body = if self.dice.chance(80) {
                submission.document.to_string()
            } else {
                format!("{:#}", submission.document)
            };
            let id = self.dice.chance(80).then(|| self.name());
            let queue = self.queue(validate::NAME);
            self.put(queue, id, body.into_bytes(), None);
        }
    }

    fn undeliverable(&mut self, number: usize, submission: &Submission) -> Undeliverable {
        let application = submission.document.to_string();
        let cut_off = || application[..application.len() - 1 - number].to_owned();
        // The stages of changes have other messages.
        let later = ["issue", "mint", "render", "dispatch"][self.dice.below(4)];
        let (stage, code, body) = match self.dice.below(4) {
            0 => (validate::NAME, "message.undecodable", cut_off()),
            1 => (later, "message.undecodable", application),
            2 => {
                let unknown = ids::application(&self.source, &format!("unknown-{number}"));
                let job = match later {
                    "issue" => json!({ "application": unknown, "line": 0 }),
                    _ => json!({ "guarantee": unknown, "revision": 0 }),
                };
                (later, "reference.missing", job.to_string())
            }
            _ => (NOWHERE, "message.unroutable", application),
        };
        let payload = body.into_bytes();
        let sha256 = hex::encode(Sha256::digest(&payload));
        let id = self.dice.chance(70).then(|| self.name());
        for _ in 0..=self.dice.below(2) {
            if stage == NOWHERE {
                self.put(Queue::Unrouted, id.clone(), payload.clone(), Some(NOWHERE.to_owned()));
            } else {
                let queue = self.queue(stage);
                self.put(queue, id.clone(), payload.clone(), None);
            }
        }
        let message_id = id.unwrap_or_else(|| format!("sha256:{sha256}"));
        Undeliverable { id: ids::failed_message(stage, &message_id, &sha256), stage, code, payload }
    }

    fn name(&mut self) -> String {
        self.sent += 1;
        format!("{}:{}", self.source, self.sent)
    }

    fn queue(&mut self, stage: &str) -> Queue {
        Queue::of(stage, if self.dice.chance(25) { Lane::Bulk } else { Lane::Live })
    }

    fn put(
        &mut self,
        queue: Queue,
        message_id: Option<String>,
        payload: Vec<u8>,
        routing_key: Option<String>,
    ) {
        let envelope = Envelope {
            message_id,
            message_type: None,
            correlation_id: None,
            traceparent: None,
            history: History::default(),
            payload,
        };
        self.broker.send(queue, envelope, routing_key);
    }
}
