//! What is sent in a schedule: applications of every kind, some of them twice, and messages that nobody can work off.

use hosho::{
    broker::{Envelope, History, Lane},
    hex::hex,
    stages::validate,
};
use hosho_schema::ids;
use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};

use super::chaos::{Chaos, Place};
use crate::crashes::applications::{Dice, throw};

/// A queue that nobody has.
const NOWHERE: &str = "nowhere";

/// An application, and the rules it breaks by itself.
#[derive(Clone)]
pub struct Claim {
    pub document: Value,
    pub broken: Vec<&'static str>,
}

/// A message that becomes a dead letter.
pub struct Hopeless {
    /// What it is called among the failed messages.
    pub id: String,
    pub stage: &'static str,
    pub code: &'static str,
    pub payload: Vec<u8>,
}

/// Everything that is sent in a schedule.
pub struct Sent {
    /// Every application once. Several may have the same id, or be about the same works.
    pub claims: Vec<Claim>,
    pub hopeless: Vec<Hopeless>,
}

struct MailDelivery<'a> {
    broker: &'a Chaos,
    dice: &'a mut Dice,
    source: String,
    sent: usize,
}

/// The sender named in every application of a schedule.
pub fn source(seed: u64) -> String {
    format!("schedule-{seed:016x}")
}

/// Sends what the dice choose.
pub fn send(broker: &Chaos, dice: &mut Dice, seed: u64) -> Sent {
    let mut post = MailDelivery { broker, dice, source: source(seed), sent: 0 };
    let claims = post.claims(seed);
    for claim in &claims {
        post.application(claim);
    }
    let hopeless = (0..post.dice.below(3)).map(|number| post.hopeless(number, &claims[0])).collect();
    Sent { claims, hopeless }
}

impl MailDelivery<'_> {
    /// Two to four applications, and some that cross them.
    fn claims(&mut self, seed: u64) -> Vec<Claim> {
        let count = 2 + self.dice.below(3);
        let claim = |document: &Value| {
            let mut document = document.clone();
            document["source"] = json!(self.source);
            // No works like those of another schedule.
            document["works"]["name"] =
                json!(format!("{}{seed:016x}", document["works"]["name"].as_str().unwrap()));
            Claim { document, broken: Vec::new() }
        };
        let mut thrown: Vec<Claim> =
            throw(self.dice, count + 1).iter().map(|application| claim(application.document())).collect();
        let spare = thrown.pop();
        let mut claims = Vec::new();
        for claim in thrown {
            match self.dice.below(8) {
                0 => claims.push(self.broken(claim)),
                1 => {
                    // The same works once more, from somebody who does not know.
                    let mut rival = claim.clone();
                    rival.document["id"] = json!(format!("{}-rival", claim.document["id"].as_str().unwrap()));
                    claims.extend([claim, rival]);
                }
                _ => claims.push(claim),
            }
        }
        if let Some(mut other) = spare.filter(|_| self.dice.chance(25)) {
            // Other content under an id that is used already.
            other.document["id"] = claims[self.dice.below(claims.len())].document["id"].clone();
            claims.push(if self.dice.chance(25) { self.broken(other) } else { other });
        }
        claims
    }

    /// The same application with a mistake in it.
    fn broken(&mut self, mut claim: Claim) -> Claim {
        let document = &mut claim.document;
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
        claim.broken = vec![code];
        claim
    }

    /// Sends an application; one time in four its sender is not sure, and sends it again, perhaps in another hand.
    fn application(&mut self, claim: &Claim) {
        let times = 1 + usize::from(self.dice.chance(25));
        for _ in 0..times {
            let body = if self.dice.chance(80) {
                claim.document.to_string()
            } else {
                format!("{:#}", claim.document)
            };
            let id = self.dice.chance(80).then(|| self.name());
            let place = self.place(validate::NAME);
            self.put(place, id, body.into_bytes(), None);
        }
    }

    fn hopeless(&mut self, number: usize, claim: &Claim) -> Hopeless {
        let application = claim.document.to_string();
        let cut_off = || application[..application.len() - 1 - number].to_owned();
        // The stages of a change take other messages.
        let behind = ["issue", "mint", "render", "dispatch"][self.dice.below(4)];
        let (stage, code, body) = match self.dice.below(4) {
            0 => (validate::NAME, "message.undecodable", cut_off()),
            1 => (behind, "message.undecodable", application),
            2 => {
                let nobody = ids::application(&self.source, &format!("nobody-{number}"));
                let job = match behind {
                    "issue" => json!({ "application": nobody, "line": 0 }),
                    _ => json!({ "guarantee": nobody, "revision": 0 }),
                };
                (behind, "reference.missing", job.to_string())
            }
            _ => (NOWHERE, "message.unroutable", application),
        };
        let payload = body.into_bytes();
        let sha256 = hex(&Sha256::digest(&payload));
        let id = self.dice.chance(70).then(|| self.name());
        for _ in 0..=self.dice.below(2) {
            if stage == NOWHERE {
                self.put(Place::Unrouted, id.clone(), payload.clone(), Some(NOWHERE.to_owned()));
            } else {
                let place = self.place(stage);
                self.put(place, id.clone(), payload.clone(), None);
            }
        }
        let message_id = id.unwrap_or_else(|| format!("sha256:{sha256}"));
        Hopeless { id: ids::failed_message(stage, &message_id, &sha256), stage, code, payload }
    }

    fn name(&mut self) -> String {
        self.sent += 1;
        format!("{}:{}", self.source, self.sent)
    }

    fn place(&mut self, stage: &str) -> Place {
        Place::of(stage, if self.dice.chance(25) { Lane::Bulk } else { Lane::Live })
    }

    fn put(
        &mut self,
        place: Place,
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
        self.broker.send(place, envelope, routing_key);
    }
}
