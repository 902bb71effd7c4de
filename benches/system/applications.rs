//! Applications: a third with two products, all electronic, one mail per guarantee.

use serde_json::{Value, json};

use crate::choices::{Choices, FAMILIES, OBJECTS, PLACES, WORKS};

/// The `source` of all applications.
pub(crate) const SOURCE: &str = "bench";

/// Generates distinct applications.
pub(crate) struct Applications {
    branches: &'static [&'static str],
    shapes: Vec<Value>,
    choices: Choices,
    made: usize,
}

#[allow(dead_code, reason = "not every benchmark uses all of it")]
pub(crate) struct Application {
    pub(crate) id: String,
    pub(crate) guarantees: usize,
    pub(crate) payload: Vec<u8>,
}

impl Applications {
    /// Assigns the branches round robin.
    pub(crate) fn new(branches: &'static [&'static str]) -> Self {
        let examples = include_str!("../../examples/applications.jsonl").lines();
        let is_wanted = |shape: &Value| {
            let products = shape["products"].as_array().unwrap();
            products.len() == 2 && products.iter().all(|product| product["medium"] == "electronic")
        };
        let shapes: Vec<Value> =
            examples.map(|line| serde_json::from_str(line).unwrap()).filter(is_wanted).collect();
        assert!(shapes.len() > 2, "too few examples with two electronic products");
        Self { branches, shapes, choices: Choices(7), made: 0 }
    }

    pub(crate) fn next(&mut self, count: usize) -> Vec<Application> {
        (0..count).map(|_| self.one()).collect()
    }

    fn one(&mut self) -> Application {
        self.made += 1;
        let (number, choices) = (self.made, &mut self.choices);
        let mut document = self.shapes[choices.below(self.shapes.len())].clone();
        let id = format!("b-{number:07}");
        document["source"] = json!(SOURCE);
        document["id"] = json!(id);
        document["branch"] = json!(self.branches[number % self.branches.len()]);
        let (place, object, works) = (choices.of(&PLACES), choices.of(&OBJECTS), choices.of(&WORKS));
        document["works"]["name"] = json!(format!("{place}{object}第{number}号{works}"));
        document["notification"] =
            json!({ "wanted": true, "mail_address": format!("keiri-{number}@bench.example.com") });
        if document["principal"]["kind"] == "company" {
            let (place, family) = (choices.of(&PLACES), choices.of(&FAMILIES));
            document["principal"]["name"] = json!(format!("株式会社{place}{family}建設"));
        }
        let products = document["products"].as_array_mut().unwrap();
        if !number.is_multiple_of(3) {
            products.remove(choices.below(2));
        }
        let guarantees = products.len();
        Application { id, guarantees, payload: document.to_string().into_bytes() }
    }
}
