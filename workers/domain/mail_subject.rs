//! Subjects that obligees require for the mail that submits a notice.

use hosho_schema::snapshots;

use crate::text;

/// A subject template with `{number}` for 工事番号 and `{name}` for 工事名.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MailSubject {
    parts: Vec<Part>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Part {
    Text(String),
    Number,
    Name,
}

#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum MailSubjectError {
    /// Character position of a brace that opens no placeholder, from 1.
    #[error("unknown placeholder in the subject at character {0}: {{number}} and {{name}} are known")]
    Placeholder(usize),
    #[error("the subject is empty or holds a control character")]
    Text,
}

impl MailSubject {
    pub fn parse(template: &str) -> Result<Self, MailSubjectError> {
        if template.trim().is_empty() || text::find_invalid(template, text::Lines::One).is_some() {
            return Err(MailSubjectError::Text);
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
                return Err(MailSubjectError::Placeholder(
                    template[..template.len() - rest.len()].chars().count() + 1,
                ));
            }
        }
        if !rest.is_empty() {
            parts.push(Part::Text(rest.to_owned()));
        }
        Ok(Self { parts })
    }

    /// Values are never parsed as templates; their control characters become spaces.
    pub fn fill(&self, works: &snapshots::Works) -> String {
        let mut subject = String::new();
        for part in &self.parts {
            let text = match part {
                Part::Text(text) => text,
                Part::Number => works.number.as_deref().unwrap_or_default(),
                Part::Name => &works.name,
            };
            // An absent 工事番号 leaves no double or leading space.
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
    fn fills_placeholders() {
        for (template, number, name, subject) in [
            ("【電子保証】{number} {name}", Some("第12号"), "橋梁補修", "【電子保証】第12号 橋梁補修"),
            ("【電子保証】 {number} {name}", None, "橋梁補修", "【電子保証】 橋梁補修"),
            ("{number} {name}", None, "橋梁補修", "橋梁補修"),
            ("電子保証認証キー:{name}", Some("1"), "{number}<b>{{ }}", "電子保証認証キー:{number}<b>{{ }}"),
            ("{name}", None, "a\r\nBcc: b", "a  Bcc: b"),
            ("固定", None, "a", "固定"),
        ] {
            assert_eq!(MailSubject::parse(template).unwrap().fill(&works(number, name)), subject);
        }
    }

    #[test]
    fn rejects_malformed_templates() {
        for (template, error) in [
            ("件名{nmae}", MailSubjectError::Placeholder(3)),
            ("{", MailSubjectError::Placeholder(1)),
            ("a}", MailSubjectError::Placeholder(2)),
            (" ", MailSubjectError::Text),
            ("a\nb", MailSubjectError::Text),
        ] {
            assert_eq!(MailSubject::parse(template).unwrap_err(), error);
        }
    }

    proptest! {
        #[test]
        fn never_panics_on_any_template(template in ".*|[a{}number]*", name in ".*") {
            if let Ok(subject) = MailSubject::parse(&template) {
                prop_assert!(!subject.fill(&works(None, &name)).chars().any(char::is_control));
            }
        }
    }
}
