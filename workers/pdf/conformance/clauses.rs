use std::collections::BTreeSet;

/// The clauses that the checks name. A test proves that each check can fail.
pub fn clauses() -> BTreeSet<&'static str> {
    let checks = [
        include_str!("lib.rs"),
        include_str!("attachments.rs"),
        include_str!("content.rs"),
        include_str!("fonts.rs"),
        include_str!("graphics.rs"),
        include_str!("interactive.rs"),
        include_str!("metadata.rs"),
        include_str!("structure.rs"),
        include_str!("syntax.rs"),
    ];
    let literals = checks.iter().flat_map(|check| check.split('"').skip(1).step_by(2));
    let is_clause = |text: &&str| {
        let (clause, rule) = text.split_once('-').unwrap_or((text, "1"));
        let is_number = |part: &str| !part.is_empty() && part.bytes().all(|byte| byte.is_ascii_digit());
        clause.split('.').count() > 1 && clause.split('.').all(is_number) && is_number(rule)
    };
    literals.filter(is_clause).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn documentation_lists_every_clause() {
        let page = include_str!("../../../docs/pdfa.md");
        let words: BTreeSet<&str> = page
            .split(|character: char| !character.is_ascii_digit() && character != '.' && character != '-')
            .collect();
        let missing: Vec<_> = clauses().into_iter().filter(|clause| !words.contains(clause)).collect();
        assert!(missing.is_empty(), "docs/pdfa.md does not list {missing:?}");
    }
}
