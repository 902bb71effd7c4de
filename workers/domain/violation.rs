//! Broken rules: their codes and how they are told.
//!
//! [`Code`] is the closed list. A code is stable text that programs of others compare with, so it is never renamed or
//! given another meaning. A [`Violation`] tells one broken rule twice: in Japanese to the contractor or official (what is wrong, why, what
//! would be right), in English to an operator. Messages never hold a mail address; a name's bad character is quoted
//! as U+hhhh with its position, everything else through [`text::quote`].

use std::fmt;

use hosho_schema::messages::{DecodeError, ViolationV1};

use super::text;

macro_rules! codes {
    ($($(#[$doc:meta])* $name:ident = $code:literal),* $(,)?) => {
        /// A rule that an application can break.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
        pub enum Code { $($(#[$doc])* $name),* }

        impl Code {
            /// Every code, in the order of the form.
            pub const ALL: &'static [Code] = &[$(Code::$name),*];

            /// The stable text of the code.
            pub fn as_str(self) -> &'static str {
                match self { $(Code::$name => $code),* }
            }
        }
    };
}

codes! {
    /// The payload is not of the message's structure: a field is unknown, missing or of the wrong type.
    MessageMalformed = "message.malformed",
    /// `source` is not 1 to 64 characters of `A-Z a-z 0-9 . _ : -`.
    SourceMalformed = "source.malformed",
    /// `id` is not 1 to 64 characters of `A-Z a-z 0-9 . _ : -`.
    IdMalformed = "id.malformed",
    /// The same `source` and `id` came before with another content.
    ApplicationIdReused = "application.id_reused",
    /// No branch (取扱箇所) has this code.
    BranchUnknown = "branch.unknown",
    /// No obligee (発注者) has this code.
    ObligeeUnknown = "obligee.unknown",
    /// A required field is empty.
    TextRequired = "text.required",
    /// A text holds a control character.
    TextControlCharacter = "text.control_character",
    /// A text holds a character that changes the writing direction.
    TextDirection = "text.direction_character",
    /// A text holds a character that nobody sees.
    TextInvisible = "text.invisible_character",
    /// A text holds a private use character (外字).
    TextPrivateUse = "text.private_use",
    /// A text holds a code point that is not a character.
    TextNotACharacter = "text.not_a_character",
    /// A text that is printed holds a character for which no font has a glyph.
    TextUnprintable = "text.unprintable",
    /// A text is longer than its field.
    TextTooLong = "text.too_long",
    /// An amount is not a whole figure.
    AmountMalformed = "amount.malformed",
    /// An amount is zero or less.
    AmountNotPositive = "amount.not_positive",
    /// An amount is beyond any contract (more than a trillion yen).
    AmountTooLarge = "amount.too_large",
    /// 保証金額 is more than 請負金額.
    AmountExceedsContractPrice = "amount.exceeds_contract_price",
    /// 今年度対象額 is more than 請負金額.
    BaseExceedsContractPrice = "this_year_base.exceeds_contract_price",
    /// A date is not a day written `YYYY-MM-DD`.
    DateMalformed = "date.malformed",
    /// A date is before 2000 or after 2099.
    DateImplausible = "date.implausible",
    /// 工期 ends before it begins.
    TermReversed = "term.reversed",
    /// The fiscal year of a multi-year contract is not one of its 工期.
    FiscalYearOutsideTerm = "fiscal_year.outside_term",
    /// 請負契約日 is required for this product.
    ContractDateRequired = "contract_date.required",
    /// A joint venture has no 構成員 but its representative.
    MembersMissing = "members.missing",
    /// A joint venture has more 構成員 than a certificate can name.
    MembersTooMany = "members.too_many",
    /// No product is asked for.
    ProductsEmpty = "products.empty",
    /// One application asks twice for the same product.
    ProductsDuplicate = "products.duplicate",
    /// The product is not offered.
    ProductNotOffered = "product.not_offered",
    /// 預託金融機関 is required for this product.
    BankRequired = "bank.required",
    /// 再預託利用区分 is required for this product.
    RedepositRequired = "redeposit.required",
    /// The obligee takes no electronic guarantee at all.
    ObligeeNotElectronic = "obligee.not_electronic",
    /// The obligee takes no electronic guarantee of this product.
    ObligeeProductNotAccepted = "obligee.product_not_accepted",
    /// The obligee takes no electronic guarantee for this kind of works.
    ObligeeKindNotAccepted = "obligee.kind_not_accepted",
    /// The date that decides whether the obligee takes electronic guarantees is absent.
    ObligeeDateMissing = "obligee.date_missing",
    /// The date that counts is before the day from which the obligee takes electronic guarantees.
    ObligeeNotYetElectronic = "obligee.not_yet_electronic",
    /// A mail is wanted and there is no address.
    MailAddressRequired = "mail_address.required",
    /// The mail address is none.
    MailAddressMalformed = "mail_address.malformed",
}

impl fmt::Display for Code {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

/// One broken rule.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Violation {
    /// The rule.
    pub code: Code,
    /// JSON path of the value, such as `$.products[0].amount`.
    pub path: String,
    /// For the contractor or official (Japanese).
    pub message_ja: String,
    /// For operators (English).
    pub message_en: String,
}

impl Violation {
    /// The payload is not an application at all: says where, without repeating what stood there.
    pub fn malformed(error: &DecodeError) -> Self {
        let (path, ja, en) = match error {
            DecodeError::NotJson { problem, line, column } => (
                "$".to_owned(),
                format!("申込データをJSONとして読み取れません（{line}行{column}文字目付近）。データが途中で切れていないかご確認ください。"),
                format!("not JSON: {} (line {line}, column {column})", redacted(problem)),
            ),
            DecodeError::Shape { path, problem } => {
                let path = harmless_path(path);
                let ja = format!("申込データの項目（{path}）の構造が正しくありません。項目の過不足と値の型をご確認ください。");
                (path, ja, redacted(problem))
            }
        };
        Self { code: Code::MessageMalformed, path, message_ja: ja, message_en: en }
    }

    /// The same `source` and `id` came before with another content. Known to the stage that stores applications.
    pub fn id_reused(source: &str, id: &str) -> Self {
        let (source, id) = (text::quote(source), text::quote(id));
        Self {
            code: Code::ApplicationIdReused,
            path: "$.id".to_owned(),
            message_ja: format!(
                "申込番号「{id}」は、内容の異なる申込ですでに受け付けています。新しい申込であれば、別の番号を付けてください。"
            ),
            message_en: format!("id {id:?} of source {source:?} was already used for an application with another content"),
        }
    }
}

impl From<Violation> for ViolationV1 {
    fn from(violation: Violation) -> Self {
        let Violation { code, path, message_ja, message_en } = violation;
        Self { code: code.as_str().to_owned(), path, message_ja, message_en }
    }
}

/// The decoder repeats values it does not want (`invalid type: string "…"`): whatever is not plainly a word of ours is dropped.
fn redacted(problem: &str) -> String {
    let mut text = problem.to_owned();
    if let (Some(first), Some(last)) = (text.find('"'), text.rfind('"'))
        && last > first
    {
        text.replace_range(first..=last, "\"…\"");
    }
    if let Some(first) = text.find('`')
        && let Some(last) = text.rfind("`, expected").or_else(|| text.rfind('`'))
        && last > first
        && !is_word(&text[first + 1..last])
    {
        text.replace_range(first + 1..last, "…");
    }
    text.chars().map(|character| if character.is_control() { ' ' } else { character }).take(300).collect()
}

fn is_word(word: &str) -> bool {
    word.len() <= 40 && word.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'.' | b'-'))
}

/// A path may end in an unknown field's name, which is text from outside: it is dropped unless it is a plain word.
fn harmless_path(path: &str) -> String {
    let plain = |character: char| character.is_ascii_alphanumeric() || matches!(character, '$' | '.' | '_' | '-' | '[' | ']');
    let Some(bad) = path.find(|character| !plain(character)) else { return path.chars().take(200).collect() };
    let known = path[..bad].rfind('.').unwrap_or_default();
    format!("{}.…", path[..known].chars().take(200).collect::<String>())
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use hosho_schema::messages::{ApplicationV1, decode};

    use super::*;

    #[test]
    fn codes_are_distinct_and_well_formed() {
        let codes: BTreeSet<_> = Code::ALL.iter().map(|code| code.as_str()).collect();
        assert_eq!(codes.len(), Code::ALL.len());
        for code in codes {
            let (family, rule) = code.split_once('.').unwrap();
            assert!(
                [family, rule].iter().all(|part| !part.is_empty() && part.bytes().all(|b| b.is_ascii_lowercase() || b == b'_')),
                "{code}"
            );
        }
    }

    #[test]
    fn a_malformed_message_repeats_no_value() {
        for payload in [
            r#"{"source":"a","notification":{"wanted":"taro@example.jp"}}"#,
            r#"{"source":"a","taro@example.jp":1}"#,
            r#"{"notification":{"wanted":true,"mail_address":["taro@example.jp"]}}"#,
            r#"{"products":[{"product":"taro@example.jp"}]}"#,
            r#"{"works":{"kind":"a`taro@example.jp`\" \n"}}"#,
            r#"{"notification":"a\" taro@example.jp \""}"#,
            r#"{"source": taro@example.jp}"#,
        ] {
            let violation = Violation::malformed(&decode::<ApplicationV1>(payload.as_bytes()).unwrap_err());
            assert_eq!(violation.code, Code::MessageMalformed);
            let told = format!("{violation:?}");
            assert!(!told.contains("taro@example") && !told.contains("example.jp"), "{told}");
        }
    }

    #[test]
    fn a_malformed_message_names_its_path() {
        let error = decode::<ApplicationV1>(br#"{"source":"a","id":"b","branch":31}"#).unwrap_err();
        let violation = Violation::malformed(&error);
        assert_eq!(violation.path, "$.branch");
        assert_eq!(violation.message_en, "invalid type: integer `31`, expected a string");
        let violation = Violation::malformed(&decode::<ApplicationV1>(b"{\"source\"").unwrap_err());
        assert_eq!(violation.path, "$");
    }

    #[test]
    fn the_wire_form_keeps_all() {
        let wire = ViolationV1::from(Violation::id_reused("portal", "a-1"));
        assert_eq!((wire.code.as_str(), wire.path.as_str()), ("application.id_reused", "$.id"));
        assert!(wire.message_ja.contains("a-1") && wire.message_en.contains("portal"));
    }
}
