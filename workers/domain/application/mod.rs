//! Judges an application (保証申込): normalises it and finds every broken rule.
//!
//! One file per family of rules: `media` (media and obligee), `amounts` (amounts and caps), `dates` (dates and terms), `parties`,
//! and `form` with [`text`] (single fields); `works`, `products` and `notification` read the parts of the form and hold
//! them to those rules. A part reads its fields, reports what is wrong with each and hands back a value even then, so that all
//! other rules are still judged; an application is accepted when nothing was reported. (The alternative, a `Result`
//! per field, needs every cross-field rule twice, for present and for failed values.)
//!
//! What depends on other applications for the same works is judged afterwards: [`super::engagement`].
//!
//! Decisions where nothing is published:
//! - What does not belong to a product (預託金融機関, 再預託利用区分 and 今年度対象額 of a 契約保証; the mail address of 希望しない)
//!   is dropped without judging it: a form may well send its hidden fields.
//! - Of a product asked for twice only the first line is judged further.
//! - Each text reports its first faulty character only, so the answer to a hostile text stays short.
//! - An advance that exceeds its cap is not told that it exceeds 請負金額 as well: the cap says all.

mod amounts;
pub mod change;
mod dates;
mod form;
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

pub use self::dates::{counted_year, expires_on};
use self::{
    amounts::Total,
    form::{Field, Form, Limit},
    products::Context,
};
use super::{
    issuer::Branches,
    obligee::Registry,
    text,
    violation::{Breach, Violation},
};

/// What the rules need to know from outside.
#[derive(Clone, Copy)]
pub struct Facts<'a> {
    /// Every obligee.
    pub obligees: &'a Registry,
    /// Every branch.
    pub branches: &'a Branches,
    /// The day the application came in, in Tokyo.
    pub received_on: NaiveDate,
    /// The characters of a text for which no font has a glyph.
    pub unprintable: &'a (dyn Fn(&str) -> Vec<char> + Sync),
    /// The form in which a mail address travels; `None` for what the mail system does not take.
    pub mail_address: &'a (dyn Fn(&str) -> Option<String> + Sync),
}

/// An application as far as it can be judged by itself.
#[derive(Clone)]
pub struct Judged {
    /// The application after normalisation, whole only where nothing was reported; `None` for a message that is none.
    pub(super) application: Option<snapshots::Application>,
    /// Every broken rule, in the order of the form.
    pub(super) violations: Vec<Violation>,
    /// How each amount was judged.
    pub(super) calculations: Vec<CalculationV1>,
    /// Index in the message of each product line of `application`.
    pub(super) indices: Vec<usize>,
    /// The total of rule 9, where 中間前払金 is asked for.
    pub(super) total: Option<Total>,
}

/// What comes of an application: normalised, or every broken rule (at least one) in the order of the form.
pub type Verdict = Result<snapshots::Application, Vec<Violation>>;

impl Judged {
    /// A message that is no application.
    pub fn unreadable(violations: Vec<Violation>) -> Self {
        Self { application: None, violations, calculations: Vec::new(), indices: Vec::new(), total: None }
    }

    /// The verdict, and how each amount was judged.
    pub fn verdict(self) -> (Verdict, Vec<CalculationV1>) {
        let verdict = match self.application {
            Some(application) if self.violations.is_empty() => Ok(application),
            _ => Err(self.violations),
        };
        (verdict, self.calculations)
    }

    /// Whether nothing was reported.
    pub fn is_kept(&self) -> bool {
        self.violations.is_empty()
    }
}

/// Normalises an application and finds every rule it breaks by itself.
pub fn judge(wire: &ApplicationV1, facts: &Facts<'_>) -> Judged {
    let mut form = Form::new(facts.unprintable);
    if !is_identifier(&wire.source) {
        form.report("$.source", &Breach::SourceMalformed { most: IDENTIFIER });
    }
    if !is_identifier(&wire.id) {
        form.report("$.id", &Breach::IdMalformed { most: IDENTIFIER });
    }
    let branch = text::ascii(text::trim(&wire.branch));
    if facts.branches.get(&branch).is_none() {
        form.report("$.branch", &Breach::BranchUnknown { given: text::quote(&wire.branch) });
    }
    let obligee = text::ascii(text::trim(&wire.obligee));
    let known = facts.obligees.get(&obligee);
    if known.is_none() {
        form.report("$.obligee", &Breach::ObligeeUnknown { given: text::quote(&wire.obligee) });
    }
    let works::Read { works, dates, all_dates, years } =
        works::read(&mut form, &wire.works, &wire.products, facts.received_on);
    let principal = parties::read(&mut form, &wire.principal);
    let context = Context { obligee: known, works: &works, dates: &dates, all_dates, years };
    let products::Read { lines: products, indices, total } =
        products::read(&mut form, &wire.products, context);
    let mail_address = notification::mail_address(&mut form, &wire.notification, facts.mail_address);
    let contact = notification::contact(&mut form, &wire.contact);
    let (violations, calculations) = form.finish();
    let (source, id) = (wire.source.clone(), wire.id.clone());
    let application = snapshots::Application {
        source,
        id,
        branch,
        obligee,
        works,
        principal,
        products,
        mail_address,
        contact,
    };
    let application = Some(application);
    Judged { application, violations, calculations, indices, total }
}

/// Characters of `source` and `id` at most.
const IDENTIFIER: usize = 64;

/// Whether a text can be `source` or `id`: 1 to 64 characters of `A-Z a-z 0-9 . _ : -`.
pub fn is_identifier(value: &str) -> bool {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'_' | b':' | b'-');
    (1..=IDENTIFIER).contains(&value.len()) && value.bytes().all(plain)
}
