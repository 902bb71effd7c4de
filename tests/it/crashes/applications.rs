//! Random applications with unique ids, based on `examples/applications.jsonl`.
//!
//! The expected results are read from the JSON, without any code of the product.

use serde_json::{Value, json};

use crate::harness::test_env::example;

/// Pseudo-random numbers, reproducible from a seed (`SplitMix64`).
pub struct Dice(u64);

impl Dice {
    pub fn new(seed: u64) -> Self {
        Self(seed)
    }

    pub fn roll(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mixed = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    /// A number from 0 to `end` - 1; 0 if `end` is 0.
    pub fn below(&mut self, end: usize) -> usize {
        usize::try_from(self.roll() % (end.max(1) as u64)).unwrap()
    }

    /// True with a probability of `percent`.
    pub fn chance(&mut self, percent: usize) -> bool {
        self.below(100) < percent
    }
}

/// An application and its expected results.
pub struct Application {
    pub id: String,
    pub branch: String,
    /// By line: the product, and whether the medium is electronic.
    pub lines: Vec<(String, bool)>,
    /// The recipient of one mail per electronic certificate.
    pub mail_address: Option<String>,
    document: Value,
}

/// The `source` of every application of a drill.
pub const SOURCE: &str = "drill";

/// The domain of all mail addresses in the applications, used nowhere else.
pub const MAIL_DOMAIN: &str = "drill.example.com";

impl Application {
    /// Number of electronic certificates.
    pub fn electronic(&self) -> usize {
        self.lines.iter().filter(|(_, electronic)| *electronic).count()
    }

    /// Number of mails.
    pub fn mails(&self) -> usize {
        if self.mail_address.is_some() { self.electronic() } else { 0 }
    }

    pub fn document(&self) -> &Value {
        &self.document
    }

    fn throw(shapes: &[Value], dice: &mut Dice, number: usize) -> Self {
        let mut document = shapes[dice.below(shapes.len())].clone();
        let id = format!("2026-{number:06}");
        document["source"] = json!(SOURCE);
        document["id"] = json!(id);
        let name = format!("{}（{number}）", document["works"]["name"].as_str().unwrap());
        document["works"]["name"] = json!(name);
        let products = document["products"].as_array_mut().unwrap();
        if products.len() > 1 && dice.chance(30) {
            products.remove(dice.below(2));
        }
        // Every obligee accepts paper, but not every obligee accepts electronic certificates.
        for product in products.iter_mut().filter(|_| dice.chance(15)) {
            product["medium"] = json!("paper");
        }
        let line =
            |line: &Value| (line["product"].as_str().unwrap().to_owned(), line["medium"] == "electronic");
        let lines = products.iter().map(line).collect();
        let mail_address = dice.chance(75).then(|| format!("keiri-{number:06}@{MAIL_DOMAIN}"));
        document["notification"] = match &mail_address {
            Some(address) => json!({ "wanted": true, "mail_address": address }),
            None => json!({ "wanted": false }),
        };
        Self { id, branch: document["branch"].as_str().unwrap().to_owned(), lines, mail_address, document }
    }
}

/// Generates `count` random applications.
pub fn throw(dice: &mut Dice, count: usize) -> Vec<Application> {
    let text = std::fs::read_to_string(example("applications.jsonl")).unwrap();
    let shapes: Vec<Value> = text.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    (0..count).map(|number| Application::throw(&shapes, dice, number)).collect()
}

pub fn json_lines(applications: &[Application]) -> String {
    let documents: Vec<String> =
        applications.iter().map(|application| application.document.to_string()).collect();
    documents.join("\n")
}

/// Expected totals of all applications of a drill.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Totals {
    pub applications: usize,
    pub guarantees: usize,
    pub keys: usize,
    pub documents: usize,
    pub mails: usize,
}

impl Totals {
    pub fn of(applications: &[Application]) -> Self {
        let guarantees = applications.iter().map(|application| application.lines.len()).sum();
        let keys = applications.iter().map(Application::electronic).sum();
        let mails = applications.iter().map(Application::mails).sum();
        Self { applications: applications.len(), guarantees, keys, documents: guarantees + keys, mails }
    }
}
