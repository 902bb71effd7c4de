//! Reads applications and changes from files: JSON Lines, an array, or objects.
//!
//! A record is passed on byte for byte: only the validate stage judges it, so that a file and a queue get the
//! same answer.
//!
//! A file is split into [`Piece`]s, one per application, valid or broken. In a valid file a piece ends where
//! `serde_json` ends the value, whatever its layout, and begins on a line of its own. After the first syntax
//! error only the layout helps: the next piece begins where a line begins with `{`, indented as little as any
//! such line. So a broken application does not affect its neighbours, and the time to read a file is
//! proportional to its length.

use std::{
    io::Read,
    ops::Range,
    path::{Path, PathBuf},
};

use serde::{Deserialize, de::IgnoredAny};
use serde_json::value::RawValue;

use super::{Error, ErrorKind};

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Record {
    /// `file:line`, or `file[index]` for an array.
    pub place: String,
    pub payload: Vec<u8>,
}

impl Record {
    pub fn identity(&self) -> Option<(String, String)> {
        identity(&self.payload)
    }

    /// Whether it changes a guarantee: changes have a `kind`, applications do not.
    pub fn is_change(&self) -> bool {
        #[derive(Deserialize)]
        struct Kind {
            #[serde(rename = "kind")]
            _kind: String,
        }
        serde_json::from_slice::<Kind>(&self.payload).is_ok()
    }
}

/// `source` and `id` of an application, if readable.
pub fn identity(payload: &[u8]) -> Option<(String, String)> {
    #[derive(Deserialize)]
    struct Identity {
        source: String,
        id: String,
    }
    let identity: Identity = serde_json::from_slice(payload).ok()?;
    Some((identity.source, identity.id))
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Position {
    /// From 1.
    pub line: usize,
    /// In characters, from 1.
    pub column: usize,
}

impl Position {
    const START: Self = Self { line: 1, column: 1 };

    /// The position after a text that begins here. Invalid UTF-8 is counted somehow.
    #[must_use]
    pub fn after(self, text: &[u8]) -> Self {
        let characters = |bytes: &[u8]| bytes.iter().filter(|byte| **byte & 0xc0 != 0x80).count();
        match text.iter().rposition(|byte| *byte == b'\n') {
            None => Self { line: self.line, column: self.column + characters(text) },
            Some(last) => {
                let lines = text.split(|byte| *byte == b'\n').count() - 1;
                Self { line: self.line + lines, column: 1 + characters(&text[last + 1..]) }
            }
        }
    }
}

/// The location of one application in the bytes of a file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Piece {
    /// Without white space around them.
    pub bytes: Range<usize>,
    pub at: Position,
    /// A fault of the array at this place: the bytes are not an application.
    pub fault: Option<&'static str>,
}

pub fn read(files: &[PathBuf]) -> Result<Vec<Record>, Error> {
    let mut records = Vec::new();
    for file in files {
        let name = name(file);
        let bytes = read_file(file).map_err(|error| {
            Error::invalid(format!("cannot read {name}: {error}"))
                .hint("give a file of JSON Lines or a JSON array, or - for standard input")
        })?;
        records.extend(split(&name, &bytes)?);
    }
    Ok(records)
}

pub fn name(file: &Path) -> String {
    if file == Path::new("-") { "standard input".to_owned() } else { file.display().to_string() }
}

/// Reads a file, or standard input, without the byte order mark of spreadsheets.
pub fn read_file(file: &Path) -> std::io::Result<Vec<u8>> {
    const BYTE_ORDER_MARK: &[u8] = b"\xef\xbb\xbf";
    let mut bytes = Vec::new();
    if file == Path::new("-") {
        std::io::stdin().lock().read_to_end(&mut bytes)?;
    } else {
        bytes = std::fs::read(file)?;
    }
    if bytes.starts_with(BYTE_ORDER_MARK) {
        bytes.drain(..BYTE_ORDER_MARK.len());
    }
    Ok(bytes)
}

fn is_array(bytes: &[u8]) -> bool {
    bytes.trim_ascii_start().starts_with(b"[")
}

/// An array is read whole or not at all; anything else application by application.
fn split(name: &str, bytes: &[u8]) -> Result<Vec<Record>, Error> {
    if is_array(bytes) {
        let elements: Vec<&RawValue> = serde_json::from_slice(bytes).map_err(|error| {
            Error::new(ErrorKind::Conflict, error).context(format!("{name} is not a JSON array"))
        })?;
        let record = |(index, raw): (usize, &RawValue)| Record {
            place: format!("{name}[{index}]"),
            payload: raw.get().as_bytes().to_vec(),
        };
        return Ok(elements.into_iter().enumerate().map(record).collect());
    }
    let record = |piece: Piece| Record {
        place: format!("{name}:{}", piece.at.line),
        payload: bytes[piece.bytes].to_vec(),
    };
    Ok(pieces(bytes).into_iter().map(record).collect())
}

pub fn pieces(bytes: &[u8]) -> Vec<Piece> {
    let mut cutter =
        Cutter { bytes, pieces: Vec::new(), reached: 0, position: Position::START, landmarks: None };
    if is_array(bytes) {
        cutter.elements();
    } else {
        cutter.lines();
    }
    cutter.pieces
}

struct Cutter<'a> {
    bytes: &'a [u8],
    pieces: Vec<Piece>,
    reached: usize,
    position: Position,
    /// After the first syntax error: where applications may begin.
    landmarks: Option<Vec<usize>>,
}

impl Cutter<'_> {
    fn push(&mut self, bytes: Range<usize>, fault: Option<&'static str>) {
        self.position = self.position.after(&self.bytes[self.reached..bytes.start]);
        self.reached = bytes.start;
        let length = self.bytes[bytes.clone()].trim_ascii_end().len();
        self.pieces.push(Piece { bytes: bytes.start..bytes.start + length, at: self.position, fault });
    }

    fn solid(&self, from: usize) -> Option<usize> {
        Some(from + self.bytes.get(from..)?.iter().position(|byte| !byte.is_ascii_whitespace())?)
    }

    fn line_end(&self, from: usize) -> usize {
        self.bytes[from..]
            .iter()
            .position(|byte| *byte == b'\n')
            .map_or(self.bytes.len(), |length| from + length)
    }

    fn lines(&mut self) {
        let mut next = 0;
        while let Some(start) = self.solid(next) {
            next = match self.value(start) {
                // More text on its last line belongs to it, and makes it wrong.
                Ok(end) => self.line_end(end),
                // A line that is only incomplete may continue below; one with a syntax error is all of it.
                Err(end)
                    if value(&self.bytes[start..self.line_end(start)]).is_err_and(|error| error.is_eof()) =>
                {
                    end
                }
                Err(_) => self.line_end(start),
            };
            self.push(start..next, None);
        }
    }

    fn elements(&mut self) {
        let mut next = self.solid(0).map_or(0, |bracket| bracket + 1);
        let (mut may_begin, mut may_end) = (true, true);
        while let Some(at) = self.solid(next) {
            match self.bytes[at] {
                b']' if may_end => {
                    if let Some(rest) = self.solid(at + 1) {
                        self.push(rest..self.bytes.len(), Some("text after the end of the array"));
                    }
                    return;
                }
                b',' if !may_begin => {
                    (may_begin, may_end) = (true, false);
                    next = at + 1;
                    continue;
                }
                _ if !may_begin => next = self.fault(at, "expected `,` or `]`"),
                b'}' | b']' | b',' => next = self.fault(at, "expected a value"),
                _ => match self.value(at) {
                    Ok(end) => {
                        self.push(at..end, None);
                        (may_begin, may_end) = (false, true);
                        next = end;
                        continue;
                    }
                    Err(end) => {
                        self.push(at..end, None);
                        next = end;
                    }
                },
            }
            // After a syntax error another application may begin.
            (may_begin, may_end) = (true, false);
            if next == self.bytes.len() {
                return;
            }
        }
        let end = self.bytes.trim_ascii_end().len();
        self.push(end..end, Some("the array does not end"));
    }

    /// Adds a fault of the array; returns where to continue.
    fn fault(&mut self, at: usize, fault: &'static str) -> usize {
        let end = self.landmark(at);
        self.push(at..end, Some(fault));
        end
    }

    /// The end of the value that begins here; of a broken one, the end to skip to.
    fn value(&mut self, start: usize) -> Result<usize, usize> {
        if self.landmarks.is_none()
            && let Ok(length) = value(&self.bytes[start..])
        {
            return Ok(start + length);
        }
        let end = self.landmark(start);
        value(&self.bytes[start..end]).map(|length| start + length).map_err(|_| end)
    }

    /// The next place after `from` where an application may begin, or the end.
    fn landmark(&mut self, from: usize) -> usize {
        let bytes = self.bytes;
        let landmarks = self.landmarks.get_or_insert_with(|| landmarks(bytes));
        let next = landmarks.partition_point(|landmark| *landmark <= from);
        landmarks.get(next).copied().unwrap_or(bytes.len())
    }
}

/// Where lines begin with `{`, indented as little as any such line.
fn landmarks(bytes: &[u8]) -> Vec<usize> {
    let (mut found, mut least, mut start) = (Vec::new(), usize::MAX, 0);
    for line in bytes.split_inclusive(|byte| *byte == b'\n') {
        let indent = line.len() - line.trim_ascii_start().len();
        if line.get(indent) == Some(&b'{') {
            if indent < least {
                found.clear();
                least = indent;
            }
            if indent == least {
                found.push(start + indent);
            }
        }
        start += line.len();
    }
    found
}

/// The length of the JSON value that bytes begin with.
fn value(bytes: &[u8]) -> Result<usize, serde_json::Error> {
    let mut values = serde_json::Deserializer::from_slice(bytes).into_iter::<IgnoredAny>();
    values.next().transpose()?;
    Ok(values.byte_offset())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn places(text: &str) -> Vec<String> {
        split("f", text.as_bytes()).unwrap().into_iter().map(|record| record.place).collect()
    }

    /// Line, column and text of every piece; `!` before a fault of the array.
    fn cut(whole: &str) -> Vec<(usize, usize, String)> {
        let text = |piece: Piece| {
            let mark = if piece.fault.is_some() { "!" } else { "" };
            (piece.at.line, piece.at.column, format!("{mark}{}", &whole[piece.bytes]))
        };
        pieces(whole.as_bytes()).into_iter().map(text).collect()
    }

    fn expect(text: &str, pieces: &[(usize, usize, &str)]) {
        let pieces: Vec<_> =
            pieces.iter().map(|(line, column, text)| (*line, *column, (*text).to_owned())).collect();
        assert_eq!(cut(text), pieces, "{text}");
    }

    #[test]
    fn splits_lines_and_arrays() {
        assert_eq!(places("{}\n\n  {\"a\":1}\r\n"), ["f:1", "f:3"]);
        assert_eq!(places(" [ {}, {\"a\": [1, 2]} ] "), ["f[0]", "f[1]"]);
        assert!(places("").is_empty());
        assert!(split("f", b"[{}, ").is_err());
    }

    #[test]
    fn passes_a_broken_line_on() {
        let records = split("f", b"{\"half\":\n{\"source\":\"s\",\"id\":\"1\"}").unwrap();
        assert_eq!(records[0].payload, b"{\"half\":");
        assert_eq!(records[0].identity(), None);
        assert_eq!(records[1].identity(), Some(("s".to_owned(), "1".to_owned())));
    }

    #[test]
    fn accepts_objects_of_many_lines() {
        expect(
            "{\n  \"a\": {\n    \"b\": 1\n  }\n}\n\n{\n\"c\":\n{}\n}\n{}",
            &[(1, 1, "{\n  \"a\": {\n    \"b\": 1\n  }\n}"), (7, 1, "{\n\"c\":\n{}\n}"), (11, 1, "{}")],
        );
        // A broken one affects only itself.
        expect(
            "{\n  \"a\": {\n    \"b\" 1\n  }\n}\n{\n  \"c\": {}\n}\n",
            &[(1, 1, "{\n  \"a\": {\n    \"b\" 1\n  }\n}"), (6, 1, "{\n  \"c\": {}\n}")],
        );
    }

    #[test]
    fn reads_one_application_per_line() {
        expect(
            "{} {}\n髙 x\n{}\n[[[\n{}\n\"a\"\n  5\n",
            &[
                (1, 1, "{} {}"),
                (2, 1, "髙 x"),
                (3, 1, "{}"),
                (4, 1, "[[["),
                (5, 1, "{}"),
                (6, 1, "\"a\""),
                (7, 3, "5"),
            ],
        );
        expect("{\n} {}\n{}", &[(1, 1, "{\n} {}"), (3, 1, "{}")]);
    }

    #[test]
    fn returns_positions_of_elements() {
        expect("[\"髙\",{}, 5 ,\n {}]\n", &[(1, 2, "\"髙\""), (1, 6, "{}"), (1, 10, "5"), (2, 2, "{}")]);
        expect("[]", &[]);
        expect(" [ ] ", &[]);
    }

    #[test]
    fn isolates_a_broken_element() {
        let text = "[\n  {\"a\": 1},\n  {\n    \"b\": {\n    }} oops\n  },\n  {\"c\": 3}\n]\n";
        expect(
            text,
            &[
                (2, 3, "{\"a\": 1}"),
                (3, 3, "{\n    \"b\": {\n    }}"),
                (5, 8, "!oops\n  },"),
                (7, 3, "{\"c\": 3}"),
            ],
        );
        expect("[\n {\"a\" 1},\n {}\n]", &[(2, 2, "{\"a\" 1},"), (3, 2, "{}")]);
        expect("[{} {}]", &[(1, 2, "{}"), (1, 5, "!{}]")]);
        expect("[{},]", &[(1, 2, "{}"), (1, 5, "!]")]);
        expect("[{}", &[(1, 2, "{}"), (1, 4, "!")]);
        expect("[{}]\n{}\n", &[(1, 2, "{}"), (2, 1, "!{}")]);
        expect("[{}, {\"a\"", &[(1, 2, "{}"), (1, 6, "{\"a\"")]);
    }

    #[test]
    fn reads_any_file_in_linear_time() {
        // Each takes minutes if the rest is read again after every syntax error.
        for line in ["{\"a\":\n", "[\n", "[\n]\n", "x\n", "{\"a\" 1}\n", " {\n{\n", "\"", "[{\n"] {
            let text = line.repeat(200_000);
            for before in ["", "x\n", "["] {
                assert!(!pieces(format!("{before}{text}").as_bytes()).is_empty());
            }
        }
    }

    #[test]
    fn columns_count_characters() {
        assert_eq!(Position::START.after("髙𠮷a".as_bytes()), Position { line: 1, column: 4 });
        assert_eq!(
            Position { line: 3, column: 9 }.after("a\n\n髙".as_bytes()),
            Position { line: 5, column: 2 }
        );
    }
}
