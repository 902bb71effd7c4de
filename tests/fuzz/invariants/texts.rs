//! What holds for every text whatever, whichever field it may stand in.

use std::{cell::RefCell, collections::HashSet, fmt::Display};

use hosho::{
    domain::{
        number::GuaranteeNumber,
        text::{self, Lines},
        wareki,
    },
    mail,
};

/// Asks every invariant of a text, where it was not asked before: the fuzzer changes little at a time.
pub fn hold(text: &str) {
    thread_local! {
        static ASKED: RefCell<HashSet<String>> = RefCell::default();
    }
    let is_new = ASKED.with_borrow_mut(|asked| {
        if asked.len() > 10_000 {
            asked.clear();
        }
        !asked.contains(text) && asked.insert(text.to_owned())
    });
    if is_new {
        ask(text);
    }
}

fn ask(text: &str) {
    for (name, normal) in NORMAL_FORMS {
        once(name, text, *normal);
    }
    let (length, code_points) = (text::length(text), text.chars().count());
    assert!(length <= code_points && code_points <= 3 * length, "{text:?} has {length} characters");
    for lines in [Lines::One, Lines::Many] {
        if let Some(found) = text::find_invalid(text, lines) {
            assert!((1..=length).contains(&found.position) && text.contains(found.character), "{found:?}");
        }
    }
    quoted(&text::quote(text));
    let _ = text::lacks_postal_code(text);
    assert_eq!(text::company_key(&text::company_key(text)), text::company_key(text), "{text:?}");
    if let Some(figure) = text::without_separators(text) {
        assert_eq!(text::without_separators(&figure).as_deref(), Some(figure.as_str()));
    }
    if let Some(number) = text::normal_telephone(text) {
        assert_eq!(text::normal_telephone(&number).as_deref(), Some(number.as_str()), "{text:?}");
    }
    if let Some(address) = mail::normal_mail_address(text) {
        assert!(
            address.is_ascii() && !address.contains(char::is_whitespace) && address.matches('@').count() == 1,
            "{address:?}"
        );
        assert_eq!(mail::normal_mail_address(&address).as_deref(), Some(address.as_str()), "{text:?}");
    }
    date(text);
    number(text);
}

type NormalForm = (&'static str, fn(&str) -> String);

const NORMAL_FORMS: &[NormalForm] = &[
    ("trim", |text| text::trim(text).to_owned()),
    ("narrow_digits", text::narrow_digits),
    ("to_ascii", text::to_ascii),
    ("bank_name", text::bank_name),
    ("narrow_telephone", text::narrow_telephone),
    ("comparison_key", text::comparison_key),
];

fn once(name: &str, text: &str, normal: fn(&str) -> String) {
    let once = normal(text);
    assert_eq!(normal(&once), once, "{name} of {text:?} is no normal form");
}

fn date(text: &str) {
    match wareki::parse(text) {
        Ok(date) => {
            let japanese = wareki::format(date);
            assert_eq!(wareki::parse(&japanese), Ok(date), "{text:?} is written {japanese}");
            assert_eq!(wareki::parse(&date.to_string()), Ok(date), "{text:?} is written {date}");
        }
        Err(error) => shown(&error),
    }
}

fn number(text: &str) {
    match GuaranteeNumber::parse(text) {
        Ok(number) => {
            let text = number.as_str();
            let shape = |(at, byte): (usize, u8)| match at {
                5 => byte == b'-',
                11 => byte.is_ascii_digit() || byte.is_ascii_uppercase(),
                _ => byte.is_ascii_digit(),
            };
            assert!(text.len() == 12 && text.bytes().enumerate().all(shape), "{text:?}");
            assert_eq!(GuaranteeNumber::parse(text).as_ref(), Ok(&number));
        }
        Err(error) => shown(&error),
    }
}

fn shown(error: &impl Display) {
    let message = error.to_string();
    assert!(message.len() <= 1_000);
    harmless(&message);
}

fn quoted(quotation: &str) {
    assert!(quotation.chars().count() <= 400, "{quotation:?}");
    assert!(quotation == "…@…" || !quotation.contains(['@', '＠']), "{quotation:?}");
    shows_itself(quotation);
}

/// A message holds no mail address and nothing that a terminal, a log or a reader would be deceived by.
pub fn harmless(message: &str) {
    assert!(!message.replace("…@…", "").contains(['@', '＠']), "{message:?} holds a mail address");
    shows_itself(message);
}

/// Not only by the program's own list, which may be wrong: by one written down here as well.
fn shows_itself(message: &str) {
    assert_eq!(text::find_invalid(message, Lines::One), None, "{message:?}");
    let hostile = |character: char| {
        character.is_control()
            || matches!(
                character,
                '\u{ad}' | '\u{61c}' | '\u{180e}' | '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{206f}'
                    | '\u{feff}' | '\u{fff9}'..='\u{fffb}' | '\u{fffd}' | '\u{e000}'..='\u{f8ff}' | '\u{e0000}'..='\u{e007f}' | '\u{f0000}'..
            )
    };
    assert!(!message.contains(hostile), "{message:?}");
}
