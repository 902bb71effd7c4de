//! Telephone numbers as people type them.
//!
//! A number keeps its grouping, because its digits alone do not determine the area code and the numbering
//! plan is not part of this program. Only plausibility is checked. An extension or a department after the
//! number is kept, in one normal form.

use super::{
    characters::trim,
    invalid::{Lines, find_invalid},
    length::length,
    width::{is_hyphen, narrow, narrow_digit},
};

/// Narrows digits, and hyphens between digits: `センター` keeps its ー.
pub fn narrow_telephone(value: &str) -> String {
    let characters: Vec<char> = value.chars().map(narrow_digit).collect();
    let digit_at = |index: Option<usize>| {
        index.and_then(|index| characters.get(index)).is_some_and(char::is_ascii_digit)
    };
    characters
        .iter()
        .enumerate()
        .map(|(index, &character)| {
            if is_hyphen(character) && digit_at(index.checked_sub(1)) && digit_at(index.checked_add(1)) {
                '-'
            } else {
                character
            }
        })
        .collect()
}

/// Maximum characters of the words in parentheses.
const LONGEST_REMARK: usize = 20;

/// The number in ASCII, then remarks in full-width parentheses. Idempotent.
///
/// `０２９７（６４）１１１１　内線 12` becomes `0297(64)1111（内線12）`. Accepts Japanese numbers (0 and 9 to
/// 11 digits in all) and international ones (`+` and up to 15 digits), with hyphens, spaces and parentheses.
/// Up to two remarks may follow: extensions, or words in parentheses such as （代表）. Returns `None` for
/// anything else.
pub fn normal_telephone(value: &str) -> Option<String> {
    let narrowed = narrow_telephone(value);
    let (mut normal, mut rest) = number(trim(&narrowed))?;
    for _ in 0..2 {
        if rest.is_empty() {
            break;
        }
        let (remark, behind) = remark(rest)?;
        normal = format!("{normal}（{remark}）");
        rest = trim(behind);
    }
    rest.is_empty().then_some(normal)
}

/// Splits the number from the text after it.
fn number(typed: &str) -> Option<(String, &str)> {
    let mut normal = String::new();
    let mut rest = typed;
    loop {
        let next = trim(rest);
        let spaced = next.len() < rest.len();
        let mut characters = next.chars();
        let last = normal.chars().next_back();
        match characters.next().map(narrow) {
            Some(digit @ '0'..='9') => {
                if spaced && last.is_some_and(|last| last.is_ascii_digit()) {
                    normal.push(' ');
                }
                normal.push(digit);
                rest = characters.as_str();
            }
            Some('+') if normal.is_empty() => {
                normal.push('+');
                rest = characters.as_str();
            }
            Some('(') => {
                let Some((digits, behind)) =
                    parenthesised(next).filter(|(inner, _)| inner.chars().all(is_digit))
                else {
                    break;
                };
                normal.push('(');
                normal.extend(digits.chars().map(narrow));
                normal.push(')');
                rest = behind;
            }
            Some(hyphen) if is_hyphen(hyphen) && matches!(last, Some('0'..='9' | ')')) => {
                normal.push('-');
                rest = characters.as_str();
            }
            _ => break,
        }
    }
    is_plausible(&normal).then(|| (normal, trim(rest)))
}

fn is_digit(character: char) -> bool {
    narrow(character).is_ascii_digit()
}

/// A Japanese number has a 0 and at least 8 more digits.
/// After +81 the 0 is absent, or in parentheses.
fn is_plausible(normal: &str) -> bool {
    let digits: String = normal.chars().filter(char::is_ascii_digit).collect();
    let fits = match normal.strip_prefix('+') {
        None => digits.starts_with('0') && (9..=11).contains(&digits.len()),
        Some(_) => match digits.strip_prefix("81") {
            None => !digits.starts_with('0') && (8..=15).contains(&digits.len()),
            Some(national) => (8..=10).contains(&national.strip_prefix('0').unwrap_or(national).len()),
        },
    };
    fits && normal.ends_with(|last: char| last.is_ascii_digit())
}

/// Splits after parentheses at the beginning: trimmed, not empty, not nested.
fn parenthesised(text: &str) -> Option<(&str, &str)> {
    let (inner, behind) = text.strip_prefix(['(', '（'])?.split_once([')', '）'])?;
    let inner = trim(inner);
    (!inner.is_empty() && !inner.contains(['(', '（'])).then_some((inner, behind))
}

/// Splits an extension or words in parentheses, normalised, from the rest.
fn remark(text: &str) -> Option<(String, &str)> {
    let Some((inner, behind)) = parenthesised(text) else { return extension(text) };
    match extension(inner) {
        Some((extension, "")) => Some((extension, behind)),
        _ => (length(inner) <= LONGEST_REMARK && find_invalid(inner, Lines::One).is_none())
            .then(|| (inner.to_owned(), behind)),
    }
}

/// Splits `内線12`, `内線：12`, `内線番号 12` or `ext. 12`, up to six digits.
fn extension(text: &str) -> Option<(String, &str)> {
    let word = |word: &str| {
        let end = text.char_indices().nth(word.chars().count()).map_or(text.len(), |(end, _)| end);
        let (start, behind) = text.split_at(end);
        start
            .chars()
            .map(narrow)
            .map(|character| character.to_ascii_lowercase())
            .eq(word.chars())
            .then_some(behind)
    };
    let behind = ["内線番号", "内線", "ext"].into_iter().find_map(word)?;
    let number = behind.trim_start_matches(|character| matches!(narrow(character), ' ' | ':' | '.'));
    let end = number.find(|character| !is_digit(character)).unwrap_or(number.len());
    let (digits, behind) = number.split_at(end);
    let digits: String = digits.chars().map(narrow_digit).collect();
    (1..=6).contains(&digits.len()).then(|| (format!("内線{digits}"), behind))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn narrows_digits_but_keeps_words() {
        for (given, kept) in [
            ("０２９７－６４－１１１１（センター）", "0297-64-1111（センター）"),
            ("0297ー64ー1111", "0297-64-1111"),
            ("ー", "ー"),
            ("", ""),
            ("内線１２－", "内線12－"),
        ] {
            assert_eq!(narrow_telephone(given), kept);
        }
    }

    #[test]
    fn normalises_plausible_numbers() {
        for (given, normal) in [
            ("0297-64-1111", "0297-64-1111"),
            ("０２９７－６４－１１１１", "0297-64-1111"),
            ("0297ー64ー1111", "0297-64-1111"),
            ("0297641111", "0297641111"),
            ("090-0000-0000", "090-0000-0000"),
            ("0120-000-000", "0120-000-000"),
            ("04-000-0000", "04-000-0000"),
            ("(03)0000-1111", "(03)0000-1111"),
            ("（０３）００００－１１１１", "(03)0000-1111"),
            ("03（0000）1111", "03(0000)1111"),
            ("03 ( 0000 ) 1111", "03(0000)1111"),
            (" 03　0000　1111 ", "03 0000 1111"),
            ("03 － 0000 － 1111", "03-0000-1111"),
            ("+81-3-0000-1111", "+81-3-0000-1111"),
            ("＋８１ ３ ００００ １１１１", "+81 3 0000 1111"),
            ("+81 (0)3 0000 1111", "+81(0)3 0000 1111"),
            ("+1 202 555 0100", "+1 202 555 0100"),
            ("+123456789012345", "+123456789012345"),
            ("0297-64-1111（センター）", "0297-64-1111（センター）"),
            ("0297-64-1111 (代)", "0297-64-1111（代）"),
            ("0297-64-1111(代表)", "0297-64-1111（代表）"),
            ("0297-64-1111（２階ー奥）", "0297-64-1111（2階ー奥）"),
            ("0297-64-1111内線12", "0297-64-1111（内線12）"),
            ("0297-64-1111　内線：１２３", "0297-64-1111（内線123）"),
            ("0297-64-1111（内線 12）", "0297-64-1111（内線12）"),
            ("0297-64-1111 内線番号 12", "0297-64-1111（内線12）"),
            ("0297-64-1111 ext. 12", "0297-64-1111（内線12）"),
            ("0297-64-1111 (Ext.12)", "0297-64-1111（内線12）"),
            ("0297-64-1111（代表）内線12", "0297-64-1111（代表）（内線12）"),
            ("0297-64-1111 内線12（総務課）", "0297-64-1111（内線12）（総務課）"),
            ("0297-64-1111（内線12か13）", "0297-64-1111（内線12か13）"),
        ] {
            assert_eq!(normal_telephone(given).as_deref(), Some(normal), "{given}");
        }
    }

    #[test]
    fn rejects_implausible_numbers() {
        for given in [
            "",
            "なし",
            "担当者まで",
            "12345678",
            "1297-64-1111",
            "03-0000-11",
            "0297-64-11112-2",
            "03--0000-1111",
            "-03-0000-1111",
            "03-0000-1111-",
            "03-0000-1111ー",
            "03-0000(1111)",
            "(03)0000-1111)",
            "((03))0000-1111",
            "(03 0000-1111",
            "03()0000-1111",
            "+0-3-0000-1111",
            "+81-3-0000",
            "+81-3-0000-1111-22",
            "+1234567890123456",
            "++81-3-0000-1111",
            "03+0000-1111",
            "03-0000-1111,03-0000-2222",
            "03-0000-1111 090-0000-0000",
            "03-0000-1111 代表",
            "03-0000-1111（）",
            "03-0000-1111（代表",
            "03-0000-1111 内線",
            "03-0000-1111 内線1234567",
            "03-0000-1111（一）（二）（三）",
            "03-0000-1111（あいうえおかきくけこさしすせそたちつてとな）",
            "03-0000\n-1111",
            "03-0000-1111（\u{202e}代表）",
            "taro@example.jp",
            "２０２６年７月１日",
            "03.0000.1111",
        ] {
            assert_eq!(normal_telephone(given), None, "{given:?}");
        }
    }

    proptest! {
        #[test]
        fn normalising_is_idempotent(
            text in ".*|[+0]?[0-9０-９ー－ ()（）-]{8,16}|0[0-9]{2}-[0-9]{4}-[0-9]{3}[（( ]?(内線|ext|代表|ー|[0-9]){0,4}[)）]?(（.{0,6}）)?"
        ) {
            if let Some(normal) = normal_telephone(&text) {
                prop_assert_eq!(normal_telephone(&normal), Some(normal.clone()));
                prop_assert_eq!(narrow_telephone(&normal), normal);
            }
        }
    }
}
