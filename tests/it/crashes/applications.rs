//! Applications for the drills: the shapes of `examples/applications.jsonl`, thrown together anew with ids of their own.
//!
//! What must come of an application is read from the document itself, without any code of the program.

use serde_json::{Value, json};

use crate::harness::test_env::example;

/// Numbers that look random and are the same for the same seed (`SplitMix64`).
pub struct Dice(u64);

impl Dice {
    pub fn new(seed: u64) -> Self {
        Self(seed)
    }

    /// The next number.
    pub fn roll(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mixed = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    /// A number from 0 to `end` - 1; 0 when there is none.
    pub fn below(&mut self, end: usize) -> usize {
        usize::try_from(self.roll() % (end.max(1) as u64)).unwrap()
    }

    /// True in `percent` of 100 cases.
    pub fn chance(&mut self, percent: usize) -> bool {
        self.below(100) < percent
    }
}

/// One application and what is to come of it.
pub struct Application {
    pub id: String,
    pub branch: String,
    /// Per product line its product and whether it is electronic.
    pub lines: Vec<(String, bool)>,
    /// Who gets a mail per electronic certificate.
    pub mail_address: Option<String>,
    document: Value,
}

/// The sender named in every application of a drill.
pub const SOURCE: &str = "drill";

/// The domain of every mail address in the applications of a drill, and of nothing else.
pub const MAIL_DOMAIN: &str = "drill.example.com";

impl Application {
    /// How many electronic certificates it leads to.
    pub fn electronic(&self) -> usize {
        self.lines.iter().filter(|(_, electronic)| *electronic).count()
    }

    /// How many mails.
    pub fn mails(&self) -> usize {
        if self.mail_address.is_some() { self.electronic() } else { 0 }
    }

    /// The message itself.
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
        // Paper is taken everywhere; electronic is not, so nothing is made so.
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

/// Throws `count` applications.
pub fn throw(dice: &mut Dice, count: usize) -> Vec<Application> {
    let text = std::fs::read_to_string(example("applications.jsonl")).unwrap();
    let shapes: Vec<Value> = text.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    (0..count).map(|number| Application::throw(&shapes, dice, number)).collect()
}

/// The applications as JSON Lines.
pub fn json_lines(applications: &[Application]) -> String {
    let documents: Vec<String> =
        applications.iter().map(|application| application.document.to_string()).collect();
    documents.join("\n")
}

/// What all applications of a drill lead to, in total.
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
