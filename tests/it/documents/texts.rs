//! Texts of applications: JIS X 0208 and 0213, and other characters of names.

use std::{collections::BTreeSet, process::Command, sync::LazyLock};

use chrono::{Days, NaiveDate};
use hosho_schema::{
    messages::{MediumV1, ProductV1},
    money::Yen,
    snapshots::{Certificate, Channel, Company},
};
use proptest::{collection::vec, option, prelude::*, sample::select};
use unicode_normalization::UnicodeNormalization as _;

use super::{certificate, renderer};

/// Prints every character of JIS X 0213 (which includes 0208), one a line.
const LIST: &str = "
for prefix in (b'', b'\\x8f'):
    for row in range(0xa1, 0xff):
        for cell in range(0xa1, 0xff):
            try: print(ascii((prefix + bytes((row, cell))).decode('euc_jis_2004'))[1:-1])
            except UnicodeDecodeError: pass
";

/// Characters of names that are in neither standard, and sequences.
const RARE: [&str; 22] = [
    "髙",
    "﨑",
    "𠮷",
    "槗",
    "濵",
    "邊",
    "邉",
    "神\u{FA19}",
    "祥\u{FA1A}",
    "葛\u{E0100}",
    "辻\u{E0101}",
    "か\u{3099}",
    "は\u{309A}",
    "e\u{301}",
    "①",
    "㈱",
    "℡",
    "№",
    "〒",
    "ｶﾞ",
    "ﾊﾟ",
    "ｰ",
];

const PUNCTUATION: &str = "、。，．・：；？！ー々ゝ（）「」『』【】〈〉～－＝／ぁっゃゅょァッャュョ";

/// The thirteen thousand characters and sequences of the standards.
pub(super) fn standard() -> &'static [String] {
    static STANDARD: LazyLock<Vec<String>> = LazyLock::new(|| {
        let output = Command::new("python3").args(["-c", LIST]).output().unwrap();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        let lines = String::from_utf8(output.stdout).unwrap();
        let mut characters: BTreeSet<String> = lines.lines().map(unescaped).collect();
        characters.extend(('\u{FF61}'..='\u{FF9F}').chain(' '..='~').map(String::from));
        characters.retain(|characters| !characters.chars().all(char::is_control));
        characters.into_iter().collect()
    });
    &STANDARD
}

/// Inverse of Python's `ascii()`.
fn unescaped(line: &str) -> String {
    let mut text = String::new();
    let mut rest = line;
    while let Some(first) = rest.chars().next() {
        let length = match rest.get(..2) {
            Some("\\x") => 4,
            Some("\\u") => 6,
            Some("\\U") => 10,
            Some("\\\\" | "\\'") => 2,
            _ => 0,
        };
        if length > 2 {
            text.push(u32::from_str_radix(&rest[2..length], 16).ok().and_then(char::from_u32).unwrap());
        } else {
            text.push(if length == 2 { rest.chars().nth(1).unwrap() } else { first });
        }
        rest = &rest[length.max(first.len_utf8())..];
    }
    text
}

/// The characters of the standards that some face has.
pub(super) fn drawable() -> &'static [String] {
    static DRAWABLE: LazyLock<Vec<String>> = LazyLock::new(|| {
        standard().iter().filter(|text| renderer().fonts().missing(text).is_empty()).cloned().collect()
    });
    &DRAWABLE
}

/// A text as extracted: composed, without invisible characters and white space.
pub(super) fn extracted(text: &str) -> String {
    // A lone character is not normalised, even if Unicode maps it to another one.
    let is_kept = |character: &char| {
        let composed: Vec<char> = std::iter::once(*character).nfc().collect();
        composed.len() == 1 && composed[0] != *character
    };
    let is_dropped = |character: &char| matches!(character, '\u{AD}' | '\u{FE00}'..='\u{FE0F}' | '\u{E0100}'..='\u{E01EF}');
    let characters: Vec<char> =
        text.chars().filter(|character| !character.is_whitespace() && !is_dropped(character)).collect();
    let stretches = characters.chunk_by(|one, other| is_kept(one) == is_kept(other));
    let composed = |stretch: &[char]| -> String {
        if is_kept(&stretch[0]) { stretch.iter().collect() } else { stretch.iter().copied().nfc().collect() }
    };
    stretches.map(composed).collect()
}

/// A text of about `longest` characters.
/// The first and the last one may be anywhere on a line.
fn text(longest: usize) -> impl Strategy<Value = String> {
    let piece = prop_oneof![
        8 => select(drawable()),
        3 => select(RARE.to_vec()).prop_map(str::to_owned),
        3 => select(PUNCTUATION.chars().collect::<Vec<_>>()).prop_map(String::from),
        1 => "[!-~]{1,9}",
        1 => Just("　第".to_owned()),
        1 => Just(" 号".to_owned()),
    ];
    vec(piece, 0..longest.saturating_sub(2)).prop_map(|pieces| {
        // A space before punctuation is not Japanese, and would allow a line to begin with punctuation.
        let pieces = pieces.into_iter().filter(|piece| !piece.chars().all(char::is_whitespace));
        let text = format!("工{}地", pieces.collect::<String>());
        // Two characters may compose to one that no face has (ḧ), which is rejected before rendering.
        if renderer().fonts().missing(&text).is_empty() {
            text
        } else {
            text.chars().filter(|character| !('\u{300}'..='\u{36F}').contains(character)).collect()
        }
    })
}

fn company() -> impl Strategy<Value = Company> {
    (text(40), text(60), text(20)).prop_map(|(name, address, representative)| Company {
        name,
        address,
        representative,
    })
}

fn day() -> impl Strategy<Value = NaiveDate> {
    (0_u64..3000).prop_map(|days| NaiveDate::from_ymd_opt(2019, 4, 1).unwrap() + Days::new(days))
}

/// All products, media and joint ventures, with and without optional fields.
pub(super) fn contents() -> impl Strategy<Value = Certificate> {
    let works = (text(120), option::of(day()), 1_i64..99_999_999_999, day(), day());
    let members = prop_oneof![6 => vec(company(), 1..4), 1 => vec(company(), 4..12)];
    let parties = (company(), option::of((text(30), members)), text(20), text(12));
    let submission = (any::<bool>(), option::of(text(15)), option::of(text(20)), option::of(text(60)));
    let year = option::of((2019_i32..2030, option::of(1_i64..99_999_999_999)));
    let kind = (0_usize..3, any::<bool>(), 0_i64..30, option::of(text(25)), 0_u32..99_999, year);
    (works, parties, submission, kind).prop_map(|(works, parties, submission, kind)| {
        let mut content = certificate();
        let (name, contract_date, price, from, to) = works;
        content.works.name = name;
        content.works.contract_date = contract_date;
        content.works.contract_price = Yen(price);
        (content.works.from, content.works.to, content.issued_on, content.expires_on) = (from, to, from, to);
        content.amount = Yen(price / 3);
        let (company, venture, title, obligee) = parties;
        content.principal.company = company;
        if let Some((venture, members)) = venture {
            content.principal.joint_venture = Some(venture);
            content.principal.members = members;
        }
        (content.obligee.title, content.obligee.name) = (title, obligee);
        let (is_upload, department, system, subject) = submission;
        let place = &mut content.obligee.submission;
        place.channel = if is_upload { Channel::Upload } else { Channel::Mail };
        (place.department, place.system, place.subject) = (department, system, subject);
        let (product, is_paper, revision, bank, number, year) = kind;
        content.product =
            [ProductV1::AdvancePayment, ProductV1::InterimAdvancePayment, ProductV1::Performance][product];
        content.medium = if is_paper { MediumV1::Paper } else { MediumV1::Electronic };
        content.bank = bank.filter(|_| content.product != ProductV1::Performance);
        content.revision = revision;
        content.works.fiscal_year = year.map(|(year, _)| year);
        content.this_year_base = year.and_then(|(_, base)| base).map(Yen);
        content.number = format!("31075-{number:05}M");
        content
    })
}
