//! Mutates an application as JSON: the result is JSON, and usually an application.
//!
//! New values come from short lists of what the rules read: amounts and dates in every form, eras and their
//! ends, words of the contract, characters that no field may hold. libFuzzer's mutator makes the other texts.

use libfuzzer_sys::fuzzer_mutate;
use serde_json::{Number, Value, json};

/// Texts that a rule treats as a special case.
const TEXTS: &[&str] = &[
    "",
    " ",
    "　",
    "electronic",
    "paper",
    "advance_payment",
    "interim_advance_payment",
    "performance",
    "construction",
    "design",
    "surveying",
    "machinery",
    "company",
    "joint_venture",
    "31",
    "０７",
    "35",
    "hirakawa",
    "kwsa",
    "matsumoto",
    "mlit",
    "nasushiobara",
    "ryugasaki",
    "strict",
    "tochigi",
    "2026-11-18",
    "２０２６ー１１ー１８",
    "2026/7/1",
    "2026年7月1日",
    "令和8年12月1日",
    "令和元年5月1日",
    "平成31年5月1日",
    "H31.4.30",
    "S64.1.7",
    "㋿8.7.1",
    "Ｒ８．７．１",
    "2028-02-29",
    "2027-02-29",
    "2099-12-31",
    "0001-01-01",
    "10000000",
    "１０，０００，０００",
    "1,000,000,000,000",
    "1000000000001",
    "-1",
    "0",
    "9223372036854775808",
    "340282366920938463463374607431768211456",
    "taro@example.jp",
    "taro@例え。jp",
    "ｔａｒｏ＠example.jp",
    "taro@xn--r8jz45g.jp",
    "0297-64-1111",
    "＋８１（０）２９７－６４－１１１１",
    "０２９７（６４）１１１１　内線 12（代表）",
    "〒301-8611 茨城県龍ヶ崎市",
    "〒",
    "３１０７４－００００１Ｍ",
    "ｶｸｳｼﾝﾖｳｷﾝｺ ﾅｽｼｵﾊﾞﾗｼﾃﾝ",
    "ﾞﾟか\u{3099}は\u{309a}",
    "株式会社髙﨑土木",
    "𠮷野・槗本",
    "葛\u{e0100}飾区",
    "㈱①Ⅱ〜～−－",
];

/// Characters that a rule treats as a special case.
const CHARACTERS: &str = "\0\t\n\r\u{b}\u{1b}\u{7f}\u{85}\u{a0}\u{ad}\u{301}\u{34f}\u{378}\u{600}\u{61c}\u{180e}\u{200b}\u{200d}\u{200f}\
    \u{2028}\u{202e}\u{2066}\u{2060}\u{3000}\u{3099}\u{3164}\u{e000}\u{f900}\u{fa19}\u{fdd0}\u{fe0f}\u{feff}\
    \u{ff9e}\u{ffa0}\u{fffd}\u{fffe}\u{12000}\u{1ffff}\u{2f800}\u{e0001}\u{e0100}\u{10fffd}@＠\"`\\<{髙𠮷０ー−，ßİﾊﾟ：（";

const NUMBERS: &[i64] = &[
    0,
    1,
    -1,
    2025,
    2026,
    2027,
    9_999,
    10_000,
    4_000_000,
    10_000_000,
    1_000_000_000_000,
    1_000_000_000_001,
    i64::MAX,
    i64::MIN,
    i32::MAX as i64,
];

/// An application with every field, the source of values and fields to insert.
const WHOLE: &str = include_str!("whole.json");

/// Pseudo-random choices, reproducible from the seed: splitmix64.
struct Choices(u64);

impl Choices {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    fn below(&mut self, bound: usize) -> usize {
        usize::try_from(self.next() >> 32).unwrap_or_default() % bound.max(1)
    }

    fn of<'a, T>(&mut self, list: &'a [T]) -> &'a T {
        &list[self.below(list.len())]
    }

    fn character(&mut self) -> String {
        CHARACTERS.chars().nth(self.below(CHARACTERS.chars().count())).map(String::from).unwrap_or_default()
    }
}

/// Changes one to four values of a JSON text.
/// Returns `None` if the text is not JSON.
pub fn change(payload: &[u8], seed: u32) -> Option<Vec<u8>> {
    let mut value: Value = serde_json::from_slice(payload).ok()?;
    let mut choices = Choices(u64::from(seed));
    for _ in 0..=choices.below(4) {
        let places = count(&value);
        let mut place = choices.below(places);
        change_at(&mut value, &mut place, &mut choices);
    }
    serde_json::to_vec(&value).ok()
}

/// Counts a value and all values nested in it.
fn count(value: &Value) -> usize {
    1 + match value {
        Value::Array(items) => items.iter().map(count).sum(),
        Value::Object(fields) => fields.values().map(count).sum(),
        _ => 0,
    }
}

/// Changes the value at a place, counted from 0 in document order.
/// Returns whether the place exists.
fn change_at(value: &mut Value, place: &mut usize, choices: &mut Choices) -> bool {
    if *place == 0 {
        mutate(value, choices);
        return true;
    }
    *place -= 1;
    match value {
        Value::Array(items) => items.iter_mut().any(|item| change_at(item, place, choices)),
        Value::Object(fields) => fields.values_mut().any(|field| change_at(field, place, choices)),
        _ => false,
    }
}

fn mutate(value: &mut Value, choices: &mut Choices) {
    match value {
        // Rarely, replace the value by one of another type.
        _ if choices.below(12) == 0 => *value = any(choices),
        Value::Null | Value::Bool(_) => {
            *value = [json!(true), json!(false), json!(null)][choices.below(3)].clone()
        }
        Value::Number(number) => *number = near(number, choices),
        Value::String(text) => *text = other_text(text, choices),
        Value::Array(items) => match choices.below(3) {
            0 if !items.is_empty() => _ = items.remove(choices.below(items.len())),
            1 if items.len() > 1 => items.rotate_left(1),
            _ => {
                if let Some(item) = items.last().cloned().or_else(|| random_part(choices)) {
                    items.push(item);
                }
            }
        },
        Value::Object(fields) => {
            let keys: Vec<String> = fields.keys().cloned().collect();
            match choices.below(4) {
                0 if !keys.is_empty() => _ = fields.remove(choices.of(&keys)),
                1 if !keys.is_empty() => {
                    let (from, to) = (choices.of(&keys).clone(), choices.of(&keys).clone());
                    let value = fields[&from].clone();
                    fields.insert(to, value);
                }
                2 => _ = fields.insert(other_text("", choices), any(choices)),
                _ => add_field(fields, choices),
            }
        }
    }
}

fn any(choices: &mut Choices) -> Value {
    match choices.below(7) {
        0 => Value::Null,
        1 => Value::Bool(choices.below(2) == 0),
        2 => (*choices.of(NUMBERS)).into(),
        3 => json!(1.5),
        4 => random_part(choices).unwrap_or_default(),
        _ => other_text("", choices).into(),
    }
}

/// Returns a random part of [`WHOLE`].
fn random_part(choices: &mut Choices) -> Option<Value> {
    let mut value: Value = serde_json::from_str(WHOLE).ok()?;
    loop {
        let within = match &mut value {
            Value::Array(items) if !items.is_empty() => items.swap_remove(choices.below(items.len())),
            Value::Object(fields) => {
                let keys: Vec<String> = fields.keys().cloned().collect();
                fields.remove(choices.of(&keys))?
            }
            _ => return Some(value),
        };
        value = within;
        if choices.below(3) == 0 {
            return Some(value);
        }
    }
}

/// Adds a field from the object in [`WHOLE`] with the most keys in common.
fn add_field(fields: &mut serde_json::Map<String, Value>, choices: &mut Choices) {
    fn most_similar<'a>(
        whole: &'a Value,
        fields: &serde_json::Map<String, Value>,
        best: &mut (usize, Option<&'a serde_json::Map<String, Value>>),
    ) {
        match whole {
            Value::Array(items) => items.iter().for_each(|item| most_similar(item, fields, best)),
            Value::Object(object) => {
                let common = object.keys().filter(|key| fields.contains_key(*key)).count();
                if common > best.0 {
                    *best = (common, Some(object));
                }
                object.values().for_each(|value| most_similar(value, fields, best));
            }
            _ => {}
        }
    }
    let Ok(whole) = serde_json::from_str::<Value>(WHOLE) else { return };
    let mut best = (0, None);
    most_similar(&whole, fields, &mut best);
    if let Some(object) = best.1 {
        let keys: Vec<&String> = object.keys().collect();
        let key = *choices.of(&keys);
        fields.insert(key.clone(), object[key].clone());
    }
}

fn near(number: &Number, choices: &mut Choices) -> Number {
    let Some(integer) = number.as_i64() else { return (*choices.of(NUMBERS)).into() };
    match choices.below(6) {
        0 => integer.wrapping_add(1),
        1 => integer.wrapping_sub(1),
        2 => integer.wrapping_mul(10),
        3 => integer / 10,
        4 => integer / 10_000 * 4_000,
        _ => *choices.of(NUMBERS),
    }
    .into()
}

fn other_text(text: &str, choices: &mut Choices) -> String {
    let characters: Vec<char> = text.chars().collect();
    let at = choices.below(characters.len() + 1);
    let (before, behind) = characters.split_at(at);
    let joined = |middle: &str, skip: usize| -> String {
        before.iter().copied().chain(middle.chars()).chain(behind.iter().copied().skip(skip)).collect()
    };
    match choices.below(8) {
        0 | 1 => (*choices.of(TEXTS)).to_owned(),
        2 => joined(choices.of::<&str>(TEXTS), 0),
        3 => joined(&choices.character(), 0),
        4 => joined(&choices.character(), 1),
        5 => joined("", 1 + choices.below(4)),
        6 if characters.len() < 200 => text.repeat(2 + choices.below(3)),
        _ => {
            let mut bytes = text.as_bytes().to_vec();
            let size = bytes.len();
            bytes.resize(size + 16, 0);
            let size = fuzzer_mutate(&mut bytes, size, size + 16);
            String::from_utf8_lossy(&bytes[..size]).into_owned()
        }
    }
}
