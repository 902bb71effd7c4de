//! Invariants of every text, independent of the field.

use std::{cell::RefCell, collections::HashSet, fmt::Display};

use hosho::{
    domain::{
        number::GuaranteeNumber,
        text::{self, Lines},
        wareki,
    },
    mail,
};

/// Checks a text unless seen recently: consecutive inputs share most texts.
pub fn hold(text: &str) {
    thread_local! {
        static SEEN: RefCell<HashSet<String>> = RefCell::default();
    }
    let is_new = SEEN.with_borrow_mut(|seen| {
        if seen.len() > 10_000 {
            seen.clear();
        }
        !seen.contains(text) && seen.insert(text.to_owned())
    });
    if is_new {
        check(text);
    }
}

fn check(text: &str) {
    for (name, normal) in NORMAL_FORMS {
        check_idempotent(name, text, *normal);
    }
    let (length, code_points) = (text::length(text), text.chars().count());
    assert!(length <= code_points && code_points <= 3 * length, "{text:?} has {length} characters");
    for lines in [Lines::One, Lines::Many] {
        if let Some(found) = text::find_invalid(text, lines) {
            assert!((1..=length).contains(&found.position) && text.contains(found.character), "{found:?}");
        }
    }
    check_quotation(&text::quote(text));
    let _ = text::lacks_postal_code(text);
    assert_eq!(text::company_key(&text::company_key(text)), text::company_key(text), "{text:?}");
    if let Some(amount) = text::without_separators(text) {
        assert_eq!(text::without_separators(&amount).as_deref(), Some(amount.as_str()));
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
    check_date(text);
    check_number(text);
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

fn check_idempotent(name: &str, text: &str, normal: fn(&str) -> String) {
    let once = normal(text);
    assert_eq!(normal(&once), once, "{name} of {text:?} is not idempotent");
}

fn check_date(text: &str) {
    match wareki::parse(text) {
        Ok(date) => {
            let japanese = wareki::format(date);
            assert_eq!(wareki::parse(&japanese), Ok(date), "{text:?} is formatted as {japanese}");
            assert_eq!(wareki::parse(&date.to_string()), Ok(date), "{text:?} is formatted as {date}");
        }
        Err(error) => check_error(&error),
    }
}

fn check_number(text: &str) {
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
        Err(error) => check_error(&error),
    }
}

fn check_error(error: &impl Display) {
    let message = error.to_string();
    assert!(message.len() <= 1_000);
    harmless(&message);
}

fn check_quotation(quotation: &str) {
    assert!(quotation.chars().count() <= 400, "{quotation:?}");
    assert!(quotation == "…@…" || !quotation.contains(['@', '＠']), "{quotation:?}");
    check_visible(quotation);
}

/// A message has no mail address and no control, invisible or reordering character.
pub fn harmless(message: &str) {
    assert!(!message.replace("…@…", "").contains(['@', '＠']), "{message:?} holds a mail address");
    check_visible(message);
}

/// Checks with the product's list and, as that may be wrong, with a second one.
fn check_visible(message: &str) {
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
