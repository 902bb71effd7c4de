//! Judges an application (保証申込): normalises it and finds every broken rule.
//!
//! One file per family of the form: `works`, `parties`, `products`, `notification`; `form` reads single
//! fields. A family reads its fields, reports what is wrong with each and hands back a value even then, so that all
//! other rules are still judged; an application is accepted when nothing was reported. (The alternative, a `Result`
//! per field, needs every cross-field rule twice, for present and for failed values.)
//!
//! Decisions where nothing is published:
//! - What does not belong to a product (預託金融機関, 再預託利用区分 and 今年度対象額 of a 契約保証; the mail address of 希望しない)
//!   is dropped without judging it: a form may well send its hidden fields.
//! - Of a product asked for twice only the first line is judged further.
//! - Each text reports its first faulty character only, so the answer to a hostile text stays short.

mod form;
mod notification;
mod parties;
mod products;
#[cfg(test)]
mod tests;
mod works;

use chrono::{Datelike, NaiveDate};
use hosho_schema::{messages::ApplicationV1, snapshots};

use self::form::{Field, Form, Limit};
use super::{
    issuer::Branches,
    obligee::Registry,
    text,
    violation::{Code, Violation},
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
    /// Whether a text is a mail address that the mail system takes.
    pub mail_address: &'a (dyn Fn(&str) -> bool + Sync),
}

/// Normalises an application, or tells every rule it breaks, in the order of the form. At least one violation when it fails.
pub fn validate(wire: &ApplicationV1, facts: &Facts<'_>) -> Result<snapshots::Application, Vec<Violation>> {
    let mut form = Form::new(facts.unprintable);
    let source = identifier(&mut form, Code::SourceMalformed, "$.source", "申込元", &wire.source);
    let id = identifier(&mut form, Code::IdMalformed, "$.id", "申込番号", &wire.id);
    let branch = branch(&mut form, &wire.branch, facts);
    let obligee = text::ascii(text::trim(&wire.obligee));
    let known = facts.obligees.get(&obligee);
    if known.is_none() {
        let quoted = text::quote(&wire.obligee);
        form.report(
            Code::ObligeeUnknown,
            "$.obligee",
            format!("発注者コード「{quoted}」は登録されていません。発注者コードをご確認ください。"),
            format!("no obligee has the code {quoted:?}"),
        );
    }
    let (works, dates) = works::read(&mut form, &wire.works, &wire.products, facts.received_on);
    let principal = parties::read(&mut form, &wire.principal);
    let products = products::read(&mut form, &wire.products, known, &works, dates.as_ref());
    let mail_address = notification::mail_address(&mut form, &wire.notification, facts.mail_address);
    let contact = notification::contact(&mut form, &wire.contact);
    let application = snapshots::Application { source, id, branch, obligee, works, principal, products, mail_address, contact };
    form.finish(application)
}

/// 保証期限 (rule 11): the end of 工期, or of the fiscal year that a multi-year contract is guaranteed for, if that is earlier.
pub fn expires_on(works: &snapshots::Works) -> NaiveDate {
    let end_of_year = works.fiscal_year.and_then(|year| NaiveDate::from_ymd_opt(year.checked_add(1)?, 3, 31));
    end_of_year.map_or(works.to, |end| end.min(works.to))
}

/// Characters of `source` and `id` at most.
const IDENTIFIER: usize = 64;

/// Whether a text can be `source` or `id`: 1 to 64 characters of `A-Z a-z 0-9 . _ : -`.
pub fn is_identifier(value: &str) -> bool {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'_' | b':' | b'-');
    (1..=IDENTIFIER).contains(&value.len()) && value.bytes().all(plain)
}

fn identifier(form: &mut Form<'_>, code: Code, path: &str, ja: &str, value: &str) -> String {
    if !is_identifier(value) {
        form.report(
            code,
            path,
            format!("{ja}は半角の英数字と . _ : - からなる1文字以上{IDENTIFIER}文字以内でご指定ください。"),
            format!("must be 1 to {IDENTIFIER} characters of A-Z a-z 0-9 . _ : -"),
        );
    }
    value.to_owned()
}

fn branch(form: &mut Form<'_>, value: &str, facts: &Facts<'_>) -> String {
    let code = text::ascii(text::trim(value));
    if facts.branches.get(&code).is_none() {
        let quoted = text::quote(value);
        form.report(
            Code::BranchUnknown,
            "$.branch",
            format!("申込送信先の取扱箇所コード「{quoted}」は登録されていません。取扱箇所コードをご確認ください。"),
            format!("no branch has the code {quoted:?}"),
        );
    }
    code
}

/// Whether a date is one that works of our time can have.
fn is_plausible(date: NaiveDate) -> bool {
    (2000..2100).contains(&date.year())
}
