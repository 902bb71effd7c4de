//! Judges an application (保証申込): normalises it and reports every broken rule.
//!
//! `form` reads single fields. `works`, `parties`, `products` and `notification` read the sections of the
//! form. `dates`, `media` and `amounts` contain the rules across fields. A section reports its violations and
//! returns a value even for an invalid field, so that all other rules are still checked. An application
//! without violations is accepted. Rejected: a `Result` per field, because every rule across fields would
//! need two forms, for valid and for invalid fields.
//!
//! [`crate::commitment`] then checks the rules that depend on other applications for the same works.
//!
//! Our decisions, as nothing is published:
//! - Fields that do not belong to a product are dropped unchecked, because a form may send hidden fields:
//!   預託金融機関, 再預託利用区分 and 今年度対象額 of a 契約保証, and the mail address of 希望しない.
//! - Of a product applied for twice, only the first line is checked further.
//! - Each text reports only its first invalid character, so the response to hostile text stays short.
//! - An advance above its cap is not reported as above 請負金額 too.

mod amounts;
mod dates;
pub(crate) mod form;
mod media;
mod notification;
mod parties;
mod products;
#[cfg(test)]
mod properties;
#[cfg(test)]
mod tests;
mod works;

use chrono::NaiveDate;
use hosho_schema::{
    messages::{ApplicationV1, CalculationV1},
    snapshots,
};

pub(crate) use self::amounts::Finding;
pub use self::dates::{counted_year, expires_on};
use self::{amounts::Total, form::FormReader};
use crate::{
    issuer::Branches,
    obligee::Registry,
    text,
    violation::{Breach, Violation},
};

/// The data that the rules need besides the message.
#[derive(Clone, Copy)]
pub struct RuleContext<'a> {
    pub obligees: &'a Registry,
    pub branches: &'a Branches,
    /// The day of receipt in Tokyo.
    pub received_on: NaiveDate,
    /// Returns the characters of a text for which no font has a glyph.
    pub unprintable: &'a (dyn Fn(&str) -> Vec<char> + Sync),
    /// Returns the normal form of a mail address; `None` if mail cannot be sent to it.
    pub mail_address: &'a (dyn Fn(&str) -> Option<String> + Sync),
}

/// An application checked against the rules that need no other application.
#[derive(Clone)]
pub struct Judged {
    /// Normalised, and complete only without violations.
    ///
    /// `None` if the message cannot be decoded.
    pub(crate) application: Option<snapshots::Application>,
    /// In the order of the form.
    pub(crate) violations: Vec<Violation>,
    pub(crate) calculations: Vec<CalculationV1>,
    /// Index in the message of each product line of `application`.
    pub(crate) indices: Vec<usize>,
    /// The total of rule 9, if 中間前払金 is applied for.
    pub(crate) total: Option<Total>,
}

/// The normalised application, or at least one violation in form order.
pub type Verdict = Result<snapshots::Application, Vec<Violation>>;

impl Judged {
    /// The message cannot be decoded.
    pub fn unreadable(violations: Vec<Violation>) -> Self {
        Self { application: None, violations, calculations: Vec::new(), indices: Vec::new(), total: None }
    }

    pub fn verdict(self) -> (Verdict, Vec<CalculationV1>) {
        let verdict = match self.application {
            Some(application) if self.violations.is_empty() => Ok(application),
            _ => Err(self.violations),
        };
        (verdict, self.calculations)
    }

    pub fn is_accepted(&self) -> bool {
        self.violations.is_empty()
    }
}

/// Normalises an application and checks every rule that needs no other application.
pub fn judge(wire: &ApplicationV1, context: &RuleContext<'_>) -> Judged {
    let mut form = FormReader::new(context.unprintable);
    check_identity(&mut form, &wire.source, &wire.id);
    let branch = text::to_ascii(text::trim(&wire.branch));
    if context.branches.get(&branch).is_none() {
        form.report("$.branch", &Breach::BranchUnknown { given: text::quote(&wire.branch) });
    }
    let code = text::to_ascii(text::trim(&wire.obligee));
    let obligee = context.obligees.get(&code);
    if obligee.is_none() {
        form.report("$.obligee", &Breach::ObligeeUnknown { given: text::quote(&wire.obligee) });
    }
    let works = works::read(&mut form, &wire.works, &wire.products, context.received_on);
    let principal = parties::read(&mut form, &wire.principal);
    let products = products::read(&mut form, &wire.products, obligee, &works);
    let mail_address = notification::mail_address(&mut form, &wire.notification, context.mail_address);
    let contact = notification::contact(&mut form, &wire.contact);
    let (violations, calculations) = form.finish();
    let application = snapshots::Application {
        source: wire.source.clone(),
        id: wire.id.clone(),
        branch,
        obligee: code,
        works: works.works,
        principal,
        products: products.lines,
        mail_address,
        contact,
    };
    Judged {
        application: Some(application),
        violations,
        calculations,
        indices: products.indices,
        total: products.total,
    }
}

/// Maximum length of `source` and `id`.
const LONGEST_IDENTIFIER: usize = 64;

pub(crate) fn check_identity(form: &mut FormReader<'_>, source: &str, id: &str) {
    if !is_identifier(source) {
        form.report("$.source", &Breach::SourceMalformed { most: LONGEST_IDENTIFIER });
    }
    if !is_identifier(id) {
        form.report("$.id", &Breach::IdMalformed { most: LONGEST_IDENTIFIER });
    }
}

/// Whether a text is 1 to 64 characters of `A-Z a-z 0-9 . _ : -`.
pub fn is_identifier(value: &str) -> bool {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'_' | b':' | b'-');
    (1..=LONGEST_IDENTIFIER).contains(&value.len()) && value.bytes().all(plain)
}
