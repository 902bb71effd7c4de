//! Secrets and personal data, and the search for them in outputs.

use std::{collections::BTreeSet, path::Path, process::Command};

use serde_json::Value;

use super::process::run;

/// Texts to search for: keys, mail addresses, names of people and companies.
#[derive(Debug, Clone, Default)]
pub struct Needles(BTreeSet<String>);

impl Needles {
    pub fn new(texts: impl IntoIterator<Item = String>) -> Self {
        Self(texts.into_iter().collect())
    }

    /// Every mail address of a file of applications, and its domain.
    pub fn mail_addresses(file: &Path) -> Self {
        let address =
            |application: &Value| application["notification"]["mail_address"].as_str().map(str::to_owned);
        let domain = |address: &String| address.split_once('@').map(|(_, domain)| domain.to_owned());
        Self::new(
            applications(file)
                .iter()
                .filter_map(address)
                .flat_map(|address| [domain(&address), Some(address)])
                .flatten(),
        )
    }

    /// Every name of a company or person in a file of applications, and its words.
    pub fn names(file: &Path) -> Self {
        let mut names = BTreeSet::new();
        for application in applications(file) {
            gather(&application["principal"], &mut names);
            gather(&application["contact"], &mut names);
        }
        let words = names
            .iter()
            .flat_map(|name| name.split_whitespace())
            .filter(|word| word.chars().count() > 1 && !word.starts_with("代表"));
        let words: Vec<String> = words.map(str::to_owned).collect();
        names.extend(words);
        Self(names)
    }

    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// The needles in a text: as they are, escaped as in JSON, or hexadecimal.
    pub fn found_in(&self, haystack: &str) -> Vec<&str> {
        let is_in = |needle: &&String| forms(needle).iter().any(|form| haystack.contains(form.as_str()));
        self.0.iter().filter(is_in).map(String::as_str).collect()
    }

    /// The files below a folder that contain a needle, as grep finds them.
    pub fn files_with(&self, folder: &Path) -> Vec<String> {
        let patterns = tempfile::NamedTempFile::new().unwrap();
        let forms: Vec<String> = self.0.iter().flat_map(|needle| forms(needle)).collect();
        std::fs::write(patterns.path(), forms.join("\n")).unwrap();
        let mut grep = Command::new("grep");
        grep.args(["--recursive", "--text", "--fixed-strings", "--files-with-matches", "--file"]);
        let output = run({
            grep.arg(patterns.path()).arg(folder).env("LC_ALL", "C");
            grep
        });
        assert!(output.status.code().is_some_and(|code| code < 2), "{output:?}");
        String::from_utf8(output.stdout).unwrap().lines().map(str::to_owned).collect()
    }

    /// Panics with the line that contains a needle.
    pub fn assert_absent(&self, place: &str, haystack: &str) {
        let found = self.found_in(haystack);
        let line = haystack.lines().find(|line| !self.found_in(line).is_empty()).unwrap_or(haystack);
        assert!(
            found.is_empty(),
            "{place} holds {found:?}: {}",
            line.chars().take(2_000).collect::<String>()
        );
    }
}

fn applications(file: &Path) -> Vec<Value> {
    std::fs::read_to_string(file)
        .unwrap()
        .lines()
        .filter_map(|line| serde_json::from_str(line).ok())
        .collect()
}

fn gather(value: &Value, names: &mut BTreeSet<String>) {
    match value {
        Value::Object(fields) => {
            for (key, value) in fields {
                match value.as_str() {
                    Some(name) if key == "name" || key == "representative" => {
                        names.insert(name.to_owned());
                    }
                    Some(_) => {}
                    None => gather(value, names),
                }
            }
        }
        Value::Array(values) => values.iter().for_each(|value| gather(value, names)),
        _ => {}
    }
}

fn forms(needle: &str) -> Vec<String> {
    let escaped: String = needle
        .encode_utf16()
        .map(|unit| {
            if unit < 0x80 {
                char::from_u32(unit.into()).unwrap().to_string()
            } else {
                format!("\\u{unit:04x}")
            }
        })
        .collect();
    let digits = hex::encode(needle.as_bytes());
    vec![needle.to_owned(), escaped, digits]
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::harness::test_env::example;

    #[test]
    fn finds_needles_in_each_form() {
        let needles = Needles::new(["K7m3Ntdu9aEf".to_owned(), "𠮷川　花子".to_owned()]);
        assert_eq!(needles.found_in("nothing here: K7m3Ntdu9aE, 𠮷川"), Vec::<&str>::new());
        for planted in ["{\"a\":\"xK7m3Ntdu9aEf\"}", "\\\\x4b376d334e746475396145660a"] {
            assert_eq!(needles.found_in(planted), ["K7m3Ntdu9aEf"], "{planted}");
        }
        for planted in ["the name is 𠮷川　花子.", "\\ud842\\udfb7\\u5ddd\\u3000\\u82b1\\u5b50"] {
            assert_eq!(needles.found_in(planted), ["𠮷川　花子"], "{planted}");
        }
    }

    #[test]
    #[should_panic(expected = "the log holds")]
    fn panics_with_the_line_of_a_needle() {
        Needles::new(["K7m3Ntdu9aEf".to_owned()]).assert_absent("the log", "one line\nK7m3Ntdu9aEf\n");
    }

    #[test]
    fn finds_names_and_addresses_of_the_examples() {
        let file = example("applications.jsonl");
        let (names, addresses) = (Needles::names(&file), Needles::mail_addresses(&file));
        assert_eq!(addresses.len(), 12, "six addresses and their domains");
        assert_eq!(
            addresses.found_in("info@yoshizawa.example.com"),
            ["info@yoshizawa.example.com", "yoshizawa.example.com"]
        );
        for name in ["髙﨑", "花子", "槗本・髙槗建設株式会社", "株式会社𠮷野組", "濵田"]
        {
            assert!(names.found_in(name).contains(&name), "{name} in {names:?}");
        }
    }
}
