//! Plain English in comments, texts and identifiers.
//!
//! Identifiers are split into words (`DeadLetters` is "dead letters"), and a phrase may continue on the next
//! line.

use crate::{Finding, tree::Tree};
use std::collections::HashMap;

/// Banned phrases and replacements.
/// A capital initial is case-sensitive; `_` joins parts of one identifier.
const BANNED: &[(&str, &str)] = &[
    ("whoever|whosoever|somebody|someone|anybody|everybody|nobody", "the operator, sender, worker …; none"),
    ("tell|tells|told|telling|untold", "report, return, print; distinguish"),
    ("asks|asked|asking", "request, query, require"),
    (
        "knows|knowing|feels|feel|felt|rests|rested|distrust|distrusts|obey|obeys|obeyed",
        "what the program does",
    ),
    ("die|dies|died|dying", "exit, crash, is killed, closes"),
    ("mend|mends|mended|mending", "fix, correct"),
    ("reckon|reckons|reckoned|reckoning", "compute, count"),
    ("by itself|by themselves", "automatically, alone"),
    ("in hand", "in flight"),
    ("goes on|go on|gone on|went on|going on", "continue, resume"),
    ("given back|gives back|give back|gave back", "requeue, return"),
    ("in the midst|midst", "during"),
    ("stand|stands|stood", "is, has; state"),
    ("house|houses", "system, organisation, TestEnv"),
    ("turn|turns", "batch, run, round; become"),
    (
        "Leave|Leaves|leave_to|by leave|takes leave|a leave|the leave|its leave|without leave|let leave",
        "permit",
    ),
    ("letter|letters|Letter|Letters", "dead letter, mail, message, glyph, character"),
    ("What is|What was|What are|What were|what_is|what_was|what_are|what_were", "the name of the thing"),
    ("upon", "on"),
    ("anew", "again"),
    ("mishap|mishaps|befall|befalls", "fault, failure"),
];

/// Phrases in which a banned word has its technical sense.
const ALLOWED: &[&str] = &[
    "dead letter|dead letters|cancellation letter|letter of a cancellation",
    "capital letter|capital letters|small letter|small letters|case letter|case letters|latin letter|latin letters",
    // A column, and the field of its name in JSON.
    "rename told on|rename letters|row letters|failed message letters|updated letters|letters row|letters i64|letters big int|letters bigint|letters integer|letters 0|letters 1",
    "turns out|turn out|turns into|turn into|turns on|turn on|turns off|turn off",
    "stand for|stands for",
    // The user of the operating system.
    "u nobody",
];

/// Folders in which "letter" means a character.
const TYPOGRAPHY: &[&str] = &["workers/pdf/", "workers/domain/", "templates/"];

/// This list, and files generated from checked texts.
const UNCHECKED: &[&str] =
    &["tests/tidy/words.rs", "docs/rules.md", "benches/RESULTS.md", "benches/full-size/"];

#[derive(Debug)]
struct Word<'a> {
    text: &'a str,
    lower: String,
    line: usize,
    /// In one identifier with the previous word.
    joined: bool,
}

/// Words in ASCII; Japanese text has none.
fn split(text: &str) -> Vec<Word<'_>> {
    let mut words = Vec::new();
    for (line, number) in text.lines().zip(1..) {
        let bytes = line.as_bytes();
        let mut start = None;
        for at in 0..=bytes.len() {
            let byte = |at: usize| bytes.get(at).copied().unwrap_or(b' ');
            let hump = at > 0
                && byte(at).is_ascii_uppercase()
                && (byte(at - 1).is_ascii_lowercase() || byte(at + 1).is_ascii_lowercase());
            let escape = at > 0 && byte(at - 1) == b'\\';
            let is_part = byte(at).is_ascii_alphanumeric() && !escape;
            if let Some(from) = start.filter(|_| !is_part || hump) {
                let before = bytes[..from].last().is_some_and(|c| c.is_ascii_alphanumeric() || *c == b'_');
                let text = &line[from..at];
                words.push(Word { text, lower: text.to_lowercase(), line: number, joined: before });
                start = None;
            }
            if is_part && start.is_none() {
                start = Some(at);
            }
        }
    }
    words
}

struct Phrase {
    words: Vec<&'static str>,
    joined: bool,
    /// The index in its list.
    place: usize,
}

impl Phrase {
    fn begins(&self, words: &[Word]) -> bool {
        let is = |(wanted, word): (&&str, &Word)| {
            if wanted.starts_with(char::is_uppercase) { word.text == *wanted } else { word.lower == **wanted }
        };
        words.len() >= self.words.len()
            && self.words.iter().zip(words).all(is)
            && (!self.joined || words[1..self.words.len()].iter().all(|word| word.joined))
    }
}

/// By the first word in lower case.
struct Phrases(HashMap<String, Vec<Phrase>>);

impl Phrases {
    fn new(lists: impl Iterator<Item = &'static str>) -> Self {
        let mut phrases = HashMap::<_, Vec<_>>::new();
        for (place, list) in lists.enumerate() {
            for phrase in list.split('|') {
                let words: Vec<&str> = phrase.split([' ', '_']).collect();
                let entry = phrases.entry(words[0].to_lowercase()).or_default();
                entry.push(Phrase { words, joined: phrase.contains('_'), place });
            }
        }
        Self(phrases)
    }

    /// The longest phrase that begins here: its number of words and its index.
    fn find(&self, words: &[Word]) -> Option<(usize, usize)> {
        let found = self.0.get(&words[0].lower)?.iter().filter(|phrase| phrase.begins(words));
        found.map(|phrase| (phrase.words.len(), phrase.place)).max()
    }
}

pub fn banned(tree: &Tree) -> Vec<Finding> {
    let (banned, allowed) =
        (Phrases::new(BANNED.iter().map(|(phrases, _)| *phrases)), Phrases::new(ALLOWED.iter().copied()));
    let mut findings = Vec::new();
    let is_checked = |path: &str| !UNCHECKED.iter().any(|place| path.starts_with(place));
    for (path, text) in tree.0.iter().filter(|(path, _)| is_checked(path)) {
        // Entries of released versions are not changed.
        let end =
            if path == "CHANGELOG.md" { text.find("\n## [0").unwrap_or(text.len()) } else { text.len() };
        let words = split(&text[..end]);
        let mut at = 0;
        while at < words.len() {
            if let Some((count, _)) = allowed.find(&words[at..]) {
                at += count;
                continue;
            }
            let found = banned.find(&words[at..]);
            if let Some((count, place)) = found {
                let phrase: Vec<&str> = words[at..at + count].iter().map(|word| word.text).collect();
                let phrase = phrase.join(" ");
                let meant = words[at].lower.starts_with("letter")
                    && TYPOGRAPHY.iter().any(|folder| path.starts_with(folder));
                if !meant {
                    let line = words[at].line;
                    findings.push(Finding::at(path, format!(":{line}: {phrase} → {}", BANNED[place].1)));
                }
            }
            at += found.map_or(1, |(count, _)| count);
        }
    }
    findings
}

#[test]
fn finds_words_in_identifiers_and_phrases_across_lines() {
    let found = |text: &str| -> Vec<String> {
        let tree = Tree([("a.rs".to_owned(), text.to_owned())].into());
        banned(&tree)
            .into_iter()
            .map(|finding| finding.text.split(" → ").next().unwrap().to_owned())
            .collect()
    };
    assert_eq!(
        found("// It stops by\n// itself.\nfn nobody_waits() {}\n"),
        ["a.rs:1: by itself", "a.rs:3: nobody"]
    );
    assert_eq!(found("struct LetterError;\n\"\\nTold\""), ["a.rs:1: Letter", "a.rs:2: Told"]);
    assert_eq!(found("fn what_is_wrong()\n// says what is wrong"), ["a.rs:1: what is"]);
    assert_eq!(
        found("DeadLetters x-dead-letter-exchange dead_letter, a capital letter; it turns out"),
        [""; 0]
    );
    assert_eq!(found("return told_on"), ["a.rs:1: told"]);
}
