//! Counts and texts as a line of output holds them.

/// `1 message`, `2 messages`.
pub(super) fn counted(count: impl TryInto<i64>, one: &str) -> String {
    let count = count.try_into().unwrap_or(i64::MAX);
    if count == 1 { format!("1 {one}") } else { format!("{count} {one}s") }
}

/// As much of a text as a line holds; what is cut ends with `…`.
pub(super) fn cut(text: &str, longest: usize) -> String {
    match text.char_indices().nth(longest) {
        Some(_) => {
            let end = text.char_indices().nth(longest.saturating_sub(1)).map_or(0, |(at, _)| at);
            format!("{}…", &text[..end])
        }
        None => text.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_is_one() {
        assert_eq!(
            [counted(0, "message"), counted(1_usize, "message"), counted(2_u64, "message")],
            ["0 messages", "1 message", "2 messages"]
        );
    }

    #[test]
    fn what_is_cut_says_so() {
        assert_eq!(
            (cut("保証契約", 4).as_str(), cut("保証契約番号", 4).as_str(), cut("", 0).as_str()),
            ("保証契約", "保証契…", "")
        );
    }
}
