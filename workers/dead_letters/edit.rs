//! Edits of a payload: values at JSON paths, and the differences.

use hosho_schema::messages::{FieldError, FieldFault};
use serde_json::Value;

#[derive(Debug, thiserror::Error)]
pub enum EditError {
    #[error("{0:?} is not an assignment such as works.contract_price=38500000")]
    Assignment(String),
    #[error("{path:?} is not a path such as $.products[0].amount")]
    Path { path: String },
    #[error("there is no {path} in the payload: only the last part of a path may be new")]
    NoSuchPath { path: String },
    #[error(
        "the payload is not JSON ({problem}): single values cannot be set; edit it as a whole, without --set"
    )]
    NotJson {
        /// The position of the error, without a part of the payload.
        problem: String,
    },
    #[error("the edited payload is not {} {kind}: {}", article(kind), errors.iter().map(field_error_text).collect::<Vec<_>>().join("; "))]
    Undecodable { kind: &'static str, errors: Vec<FieldError> },
    #[error("the payload is the same as before")]
    Unchanged,
    #[error("there is no stage {stage:?}: name the one it is for with --stage")]
    NoStage { stage: String },
}

/// `an application.v1`, `a correction.v1`.
fn article(kind: &str) -> &'static str {
    if kind.starts_with(['a', 'e', 'i', 'o', 'u']) { "an" } else { "a" }
}

/// Where and why a payload cannot be decoded. Repeats none of its values.
pub fn field_error_text(error: &FieldError) -> String {
    let fault = match &error.fault {
        FieldFault::Unknown => "no such field".to_owned(),
        FieldFault::Missing => "missing".to_owned(),
        FieldFault::Type(types) => format!("must be {}", types.join(" or ")),
        FieldFault::Choice(choices) => format!("must be one of {}", choices.join(", ")),
        FieldFault::Other(text) => text.clone(),
    };
    format!("{}: {fault}", error.path)
}

#[derive(Debug, Clone, Default)]
pub struct Edits {
    pub set: Vec<(String, Value)>,
    pub unset: Vec<String>,
}

/// Reads `path=value`. The value is JSON, or else text.
pub fn assignment(text: &str) -> Result<(String, Value), EditError> {
    let (path, value) = text
        .split_once('=')
        .filter(|(path, _)| !path.is_empty())
        .ok_or_else(|| EditError::Assignment(text.to_owned()))?;
    Ok((path.to_owned(), serde_json::from_str(value).unwrap_or_else(|_| value.into())))
}

enum Part<'a> {
    Field(&'a str),
    Index(usize),
}

impl Edits {
    pub fn apply(&self, payload: &[u8]) -> Result<Vec<u8>, EditError> {
        let mut value: Value = serde_json::from_slice(payload).map_err(|error| EditError::NotJson {
            problem: format!("line {}, column {}", error.line(), error.column()),
        })?;
        for (path, new) in &self.set {
            match parent(&mut value, path)? {
                (Value::Object(fields), Part::Field(name)) => {
                    drop(fields.insert(name.to_owned(), new.clone()));
                }
                (Value::Array(items), Part::Index(index)) if index < items.len() => {
                    items[index] = new.clone();
                }
                (Value::Array(items), Part::Index(index)) if index == items.len() => items.push(new.clone()),
                _ => return Err(EditError::NoSuchPath { path: path.clone() }),
            }
        }
        for path in &self.unset {
            let removed = match parent(&mut value, path)? {
                (Value::Object(fields), Part::Field(name)) => fields.remove(name).is_some(),
                (Value::Array(items), Part::Index(index)) if index < items.len() => {
                    items.remove(index);
                    true
                }
                _ => false,
            };
            if !removed {
                return Err(EditError::NoSuchPath { path: path.clone() });
            }
        }
        Ok(value.to_string().into_bytes())
    }
}

/// The value that contains the last part of a path, and that part.
fn parent<'v, 'p>(value: &'v mut Value, path: &'p str) -> Result<(&'v mut Value, Part<'p>), EditError> {
    let mut parts = parts(path).ok_or_else(|| EditError::Path { path: path.to_owned() })?;
    let last = parts.pop().ok_or_else(|| EditError::Path { path: path.to_owned() })?;
    let mut at = value;
    for part in parts {
        let next = match part {
            Part::Field(name) => at.get_mut(name),
            Part::Index(index) => at.get_mut(index),
        };
        at = next.ok_or_else(|| EditError::NoSuchPath { path: path.to_owned() })?;
    }
    Ok((at, last))
}

/// `$.products[0].amount`, with or without the `$.`.
fn parts(path: &str) -> Option<Vec<Part<'_>>> {
    let path = path.strip_prefix("$.").unwrap_or(path);
    let mut parts = Vec::new();
    for piece in path.split('.') {
        let (name, mut rest) = piece.find('[').map_or((piece, ""), |at| piece.split_at(at));
        if name.is_empty() {
            return None;
        }
        parts.push(Part::Field(name));
        while let Some(inner) = rest.strip_prefix('[') {
            let (index, after) = inner.split_once(']')?;
            parts.push(Part::Index(index.parse().ok()?));
            rest = after;
        }
        if !rest.is_empty() {
            return None;
        }
    }
    Some(parts)
}

/// A value that differs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Change {
    pub path: String,
    /// `null` where there was none.
    pub before: Value,
    /// `null` where there is none.
    pub after: Value,
}

/// A payload that is not JSON counts as one text, at `$`.
pub fn diff(before: &[u8], after: &[u8]) -> Vec<Change> {
    let read = |payload: &[u8]| {
        serde_json::from_slice(payload).unwrap_or_else(|_| Value::from(String::from_utf8_lossy(payload)))
    };
    let mut changes = Vec::new();
    compare("$", &read(before), &read(after), &mut changes);
    changes
}

fn compare(path: &str, before: &Value, after: &Value, changes: &mut Vec<Change>) {
    match (before, after) {
        _ if before == after => {}
        (Value::Object(one), Value::Object(other)) => {
            let names: std::collections::BTreeSet<&String> = one.keys().chain(other.keys()).collect();
            for name in names {
                let pick =
                    |fields: &serde_json::Map<String, Value>| fields.get(name).cloned().unwrap_or_default();
                compare(&format!("{path}.{name}"), &pick(one), &pick(other), changes);
            }
        }
        (Value::Array(one), Value::Array(other)) if one.len() == other.len() => {
            for (index, (one, other)) in one.iter().zip(other).enumerate() {
                compare(&format!("{path}[{index}]"), one, other, changes);
            }
        }
        _ => changes.push(Change { path: path.to_owned(), before: before.clone(), after: after.clone() }),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn edited(payload: &Value, set: &[&str], unset: &[&str]) -> Result<Value, EditError> {
        let set = set.iter().map(|text| assignment(text)).collect::<Result<_, _>>()?;
        let edits = Edits { set, unset: unset.iter().map(|path| (*path).to_owned()).collect() };
        Ok(serde_json::from_slice(&edits.apply(payload.to_string().as_bytes())?).unwrap())
    }

    #[test]
    fn sets_and_removes_values() {
        let payload = json!({"works": {"name": "a"}, "products": [{"amount": 1}, {"amount": 2}]});
        let after = edited(
            &payload,
            &["$.products[1].amount=3", "works.name=市道", "branch=31", "note=\"31\""],
            &["products[0].amount"],
        )
        .unwrap();
        assert_eq!(
            after,
            json!({"works": {"name": "市道"}, "products": [{}, {"amount": 3}], "branch": 31, "note": "31"})
        );
        assert_eq!(
            edited(&payload, &["products[2]={\"amount\": 9}"], &[]).unwrap()["products"][2]["amount"],
            9
        );
    }

    #[test]
    fn rejects_paths_that_do_not_exist() {
        let payload = json!({"products": []});
        for (set, says) in [
            ("amount", "not an assignment"),
            ("=1", "not an assignment"),
            ("products[x]=1", "not a path"),
            ("a..b=1", "not a path"),
            ("works.name=1", "there is no works.name"),
            ("products[1]=1", "there is no products[1]"),
        ] {
            let error = edited(&payload, &[set], &[]).unwrap_err().to_string();
            assert!(error.contains(says), "{set}: {error}");
        }
        assert!(edited(&payload, &[], &["nothing"]).is_err());
        let error = Edits::default().apply(b"{\"name\": \"\xe9\xab\x99").unwrap_err().to_string();
        assert!(error.contains("not JSON (line 1"), "{error}");
    }

    #[test]
    fn diff_names_each_path() {
        let changes =
            diff(br#"{"a":1,"b":[{"c":1},2],"d":{"e":1}}"#, br#"{"a":1,"b":[{"c":9},2],"d":{"f":"x"}}"#);
        let texts: Vec<_> = changes
            .iter()
            .map(|change| format!("{} {} {}", change.path, change.before, change.after))
            .collect();
        assert_eq!(texts, ["$.b[0].c 1 9", "$.d.e 1 null", "$.d.f null \"x\""]);
        assert_eq!(
            diff(b"{", b"{}")[0],
            Change { path: "$".to_owned(), before: "{".into(), after: json!({}) }
        );
        assert_eq!(diff(b"{}", b"{}"), []);
    }
}
