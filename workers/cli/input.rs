//! Reads applications from files: JSON Lines or a JSON array, `-` for standard input.
//!
//! A line is handed on as it came, byte for byte: whether it is a good application is for the validate stage to say,
//! so that a file and a queue get the same answer.

use std::{
    io::Read,
    path::{Path, PathBuf},
};

use serde::Deserialize;
use serde_json::value::RawValue;

use super::Failure;

/// One application as it stands in a file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Record {
    /// `file:line`, or `file[index]` for an array.
    pub(super) place: String,
    /// The bytes.
    pub(super) payload: Vec<u8>,
}

impl Record {
    /// `source` and `id`, where the record can be read that far.
    pub(super) fn identity(&self) -> Option<(String, String)> {
        #[derive(Deserialize)]
        struct Identity {
            source: String,
            id: String,
        }
        let identity: Identity = serde_json::from_slice(&self.payload).ok()?;
        Some((identity.source, identity.id))
    }
}

/// Reads all files, in order.
pub(super) fn read(files: &[PathBuf]) -> Result<Vec<Record>, Failure> {
    let mut records = Vec::new();
    for file in files {
        let name = if file == Path::new("-") { "standard input".to_owned() } else { file.display().to_string() };
        let bytes = slurp(file).map_err(|error| {
            Failure::usage(format!("cannot read {name}: {error}"))
                .hint("give a file of JSON Lines or a JSON array, or - for standard input")
        })?;
        records.extend(split(&name, &bytes)?);
    }
    Ok(records)
}

fn slurp(file: &Path) -> std::io::Result<Vec<u8>> {
    if file != Path::new("-") {
        return std::fs::read(file);
    }
    let mut bytes = Vec::new();
    std::io::stdin().lock().read_to_end(&mut bytes)?;
    Ok(bytes)
}

fn split(name: &str, bytes: &[u8]) -> Result<Vec<Record>, Failure> {
    let bytes = bytes.strip_prefix(b"\xef\xbb\xbf").unwrap_or(bytes); // spreadsheets write a byte order mark
    if bytes.trim_ascii_start().starts_with(b"[") {
        let elements: Vec<&RawValue> = serde_json::from_slice(bytes)
            .map_err(|error| Failure::found(anyhow::Error::new(error).context(format!("{name} is not a JSON array"))))?;
        let record =
            |(index, raw): (usize, &RawValue)| Record { place: format!("{name}[{index}]"), payload: raw.get().as_bytes().to_vec() };
        return Ok(elements.into_iter().enumerate().map(record).collect());
    }
    Ok(bytes
        .split(|byte| *byte == b'\n')
        .enumerate()
        .filter(|(_, line)| !line.trim_ascii().is_empty())
        .map(|(index, line)| Record { place: format!("{name}:{}", index + 1), payload: line.trim_ascii().to_vec() })
        .collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn places(text: &str) -> Vec<String> {
        split("f", text.as_bytes()).unwrap().into_iter().map(|record| record.place).collect()
    }

    #[test]
    fn lines_and_arrays_are_split() {
        assert_eq!(places("{}\n\n  {\"a\":1}\r\n"), ["f:1", "f:3"]);
        assert_eq!(places(" [ {}, {\"a\": [1, 2]} ] "), ["f[0]", "f[1]"]);
        assert!(places("").is_empty());
        assert!(split("f", b"[{}, ").is_err());
    }

    #[test]
    fn a_broken_line_is_handed_on() {
        let records = split("f", b"{\"half\":\n{\"source\":\"s\",\"id\":\"1\"}").unwrap();
        assert_eq!(records[0].payload, b"{\"half\":");
        assert_eq!(records[0].identity(), None);
        assert_eq!(records[1].identity(), Some(("s".to_owned(), "1".to_owned())));
    }
}
