//! Removes identifiers, times and guarantee numbers, which differ between runs.

use std::path::Path;

/// `h` is a hexadecimal digit, `d` a decimal one. The longest match is first.
const SHAPES: [&str; 11] = [
    "hh/hhhhhhhhhhhhhhhhhhhhhhhhhhhhhhhhhhhhhhhhhhhhhhhhhhhhhhhhhhhhhhhh",
    "hhhhhhhhhhhhhhhhhhhhhhhhhhhhhhhhhhhhhhhhhhhhhhhhhhhhhhhhhhhhhhhh",
    "hhhhhhhh-hhhh-hhhh-hhhh-hhhhhhhhhhhh",
    "hhhhhhhh",
    "dddd-dd-ddTdd:dd:dd.ddddddZ",
    "dddd-dd-ddTdd:dd:dd",
    "dddd-dd-dd",
    "dddd/dd/dd dd:dd",
    "dd:dd:dd",
    "dd:dd",
    "ddddd-ddddd",
];

fn length_of(shape: &str, text: &str) -> Option<usize> {
    let matches = |(shape, byte): (u8, u8)| match shape {
        b'h' => byte.is_ascii_hexdigit() && !byte.is_ascii_uppercase(),
        b'd' => byte.is_ascii_digit(),
        literal => byte == literal,
    };
    let ends = |text: &str| !text.starts_with(|next: char| next.is_ascii_alphanumeric() && next != 'M');
    (text.len() >= shape.len()
        && shape.bytes().zip(text.bytes()).all(matches)
        && text.get(shape.len()..).is_some_and(ends))
    .then_some(shape.len())
}

/// Digits become `0`, so that columns keep their width; `folder` becomes `…`.
pub fn redacted(text: &str, folder: &Path) -> String {
    let text = text.replace(&folder.display().to_string(), "…").replace(env!("CARGO_MANIFEST_DIR"), ".");
    let (mut redacted, mut rest) = (String::new(), text.as_str());
    while let Some(first) = rest.chars().next() {
        let is_start = !redacted.ends_with(|last: char| last.is_ascii_alphanumeric());
        let length = SHAPES.iter().filter(|_| is_start).find_map(|shape| length_of(shape, rest));
        let end = length.unwrap_or(first.len_utf8());
        let is_kept = |character: char| length.is_none() || !character.is_ascii_hexdigit();
        redacted
            .extend(rest[..end].chars().map(|character| if is_kept(character) { character } else { '0' }));
        rest = &rest[end..];
    }
    redacted
}

#[test]
fn redacts_identifiers_times_and_numbers() {
    let text = "7a48a48f-1cc6-5bf6-be41-c025b921bcc6 7a48a48f 2026-11-30 20:29:12 2026-11-30T20:29:12+09:00 31075-00001M 令和8年 /x/y 38,500,000円";
    assert_eq!(
        redacted(text, Path::new("/x")),
        "00000000-0000-0000-0000-000000000000 00000000 0000-00-00 00:00:00 0000-00-00T00:00:00+00:00 00000-00000M 令和8年 …/y 38,500,000円"
    );
}
