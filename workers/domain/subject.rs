//! Subjects that obligees demand of the mail that hands in a notice.

use hosho_schema::snapshots;

use super::text;

/// A demanded subject: text with `{number}` for 工事番号 and `{name}` for 工事名.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Subject {
    parts: Vec<Part>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Part {
    Text(String),
    Number,
    Name,
}

/// Says why a subject is none.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum SubjectError {
    /// A brace opens something else than a placeholder.
    #[error("unknown placeholder in the subject at character {0}: {{number}} and {{name}} are known")]
    Placeholder(usize),
    /// The subject is empty or holds a character that a mail subject cannot.
    #[error("the subject is empty or holds a control character")]
    Text,
}

impl Subject {
    /// Reads a subject with placeholders.
    pub fn parse(template: &str) -> Result<Self, SubjectError> {
        if template.trim().is_empty() || text::fault(template, text::Lines::One).is_some() {
            return Err(SubjectError::Text);
        }
        let mut parts = Vec::new();
        let mut rest = template;
        while let Some(brace) = rest.find(['{', '}']) {
            if brace > 0 {
                parts.push(Part::Text(rest[..brace].to_owned()));
            }
            rest = &rest[brace..];
            if let Some(after) = rest.strip_prefix("{number}") {
                parts.push(Part::Number);
                rest = after;
            } else if let Some(after) = rest.strip_prefix("{name}") {
                parts.push(Part::Name);
                rest = after;
            } else {
                return Err(SubjectError::Placeholder(
                    template[..template.len() - rest.len()].chars().count() + 1,
                ));
            }
        }
        if !rest.is_empty() {
            parts.push(Part::Text(rest.to_owned()));
        }
        Ok(Self { parts })
    }

    /// Fills the placeholders. An absent 工事番号 leaves no gap; values are never read as templates; control characters become spaces.
    pub fn fill(&self, works: &snapshots::Works) -> String {
        let mut subject = String::new();
        for part in &self.parts {
            let text = match part {
                Part::Text(text) => text,
                Part::Number => works.number.as_deref().unwrap_or_default(),
                Part::Name => &works.name,
            };
            // The space after an absent 工事番号 would stand at the start or next to another one.
            let text =
                if subject.is_empty() || subject.ends_with([' ', '　']) { text.trim_start() } else { text };
            subject
                .extend(text.chars().map(|character| if character.is_control() { ' ' } else { character }));
        }
        subject.truncate(subject.trim_end().len());
        subject
    }
}

#[cfg(test)]
mod tests {
    use chrono::NaiveDate;
    use hosho_schema::messages::WorksKindV1;
    use proptest::prelude::*;

    use super::*;

    fn works(number: Option<&str>, name: &str) -> snapshots::Works {
        snapshots::Works {
            name: name.to_owned(),
            number: number.map(str::to_owned),
            kind: WorksKindV1::Construction,
            contract_price: hosho_schema::money::Yen(1),
            from: NaiveDate::default(),
            to: NaiveDate::default(),
            contract_date: None,
            low_price: false,
            fiscal_year: None,
        }
    }

    #[test]
    fn subjects_are_filled() {
        for (template, number, name, subject) in [
            ("【電子保証】{number} {name}", Some("第12号"), "橋梁補修", "【電子保証】第12号 橋梁補修"),
            ("【電子保証】 {number} {name}", None, "橋梁補修", "【電子保証】 橋梁補修"),
            ("{number} {name}", None, "橋梁補修", "橋梁補修"),
            ("電子保証認証キー:{name}", Some("1"), "{number}<b>{{ }}", "電子保証認証キー:{number}<b>{{ }}"),
            ("{name}", None, "a\r\nBcc: b", "a  Bcc: b"),
            ("固定", None, "a", "固定"),
        ] {
            assert_eq!(Subject::parse(template).unwrap().fill(&works(number, name)), subject);
        }
    }

    #[test]
    fn broken_subjects_are_refused() {
        for (template, error) in [
            ("件名{nmae}", SubjectError::Placeholder(3)),
            ("{", SubjectError::Placeholder(1)),
            ("a}", SubjectError::Placeholder(2)),
            (" ", SubjectError::Text),
            ("a\nb", SubjectError::Text),
        ] {
            assert_eq!(Subject::parse(template).unwrap_err(), error);
        }
    }

    proptest! {
        #[test]
        fn no_subject_panics(template in ".*|[a{}number]*", name in ".*") {
            if let Ok(subject) = Subject::parse(&template) {
                prop_assert!(!subject.fill(&works(None, &name)).chars().any(char::is_control));
            }
        }
    }
}
