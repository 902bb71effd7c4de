//! The end of a guarantee, as the contractor is told (解約のお知らせ).
//!
//! The letter repeats what the guarantee was for and says when and why it ended; it needs nothing but the certificate that held
//! and three facts. The authentication key has no place in it: the registry goes on showing the certificate to those who
//! have the key, and nobody needs to be given it again.

use chrono::NaiveDate;
use hosho_schema::messages::CancellationCauseV1;
use hosho_schema::snapshots::{Branch, Certificate, Surety};
use serde::Serialize;

use super::samples;
use crate::domain::{labels, wareki};
use crate::templates::TemplateContext;

/// Its template.
pub(super) const TEMPLATE: &str = "cancellation/cancellation";

/// What ends a guarantee.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Cancellation {
    /// 解約日: the last day of the guarantee.
    pub cancelled_on: NaiveDate,
    /// 解約の事由.
    pub cause: CancellationCauseV1,
    /// The date of the letter.
    pub told_on: NaiveDate,
}

/// What the letter says.
#[derive(Debug, Clone, Serialize)]
pub struct CancellationContext {
    /// The date of the letter in 和暦.
    pub told_on: String,
    /// 保証契約番号.
    pub number: String,
    /// 商品.
    pub product_name: String,
    /// 変更－n of an amended certificate.
    pub revision: Option<String>,
    /// 発行日 of the certificate in 和暦.
    pub issued_on: String,
    /// 工事名.
    pub works_name: String,
    /// 請負契約者: the company, or the 代表者 of the JV.
    pub principal_name: String,
    /// JV名.
    pub joint_venture: Option<String>,
    /// 被保証者: the obligee's 職名.
    pub obligee_title: String,
    /// 保証金額（総額）.
    pub amount: String,
    /// 解約日 in 和暦.
    pub cancelled_on: String,
    /// 解約の事由.
    pub cause: String,
    /// 保証会社.
    pub surety: Surety,
    /// 取扱箇所.
    pub branch: Branch,
}

impl CancellationContext {
    /// Builds the content from the certificate that held, and its end.
    pub fn new(certificate: &Certificate, cancellation: &Cancellation) -> Self {
        let Certificate { works, principal, .. } = certificate;
        Self {
            told_on: wareki::format(cancellation.told_on),
            number: certificate.number.clone(),
            product_name: labels::product(certificate.product).to_owned(),
            revision: labels::amendment(certificate.revision),
            issued_on: wareki::format(certificate.issued_on),
            works_name: works.name.clone(),
            principal_name: principal.company.name.clone(),
            joint_venture: principal.joint_venture.clone(),
            obligee_title: certificate.obligee.title.clone(),
            amount: certificate.amount.to_string(),
            cancelled_on: wareki::format(cancellation.cancelled_on),
            cause: labels::cancellation_cause(cancellation.cause).to_owned(),
            surety: certificate.surety.clone(),
            branch: certificate.branch.clone(),
        }
    }
}

impl TemplateContext for CancellationContext {
    const TEMPLATES: &'static [&'static str] = &[TEMPLATE];

    fn samples() -> Vec<(&'static str, Self)> {
        let context = |(name, certificate, cancellation)| (name, Self::new(&certificate, &cancellation));
        samples::cancellations().into_iter().map(context).collect()
    }
}
