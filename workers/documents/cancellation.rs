//! The PDF about the end of a guarantee (解約のお知らせ).
//!
//! It repeats the subject of the guarantee and states when and why it ended: the certificate in force and
//! three facts. It has no authentication key: the registry still shows the certificate to those who have the
//! key.

use hosho_schema::snapshots::{Branch, Cancellation, Certificate, Surety};
use serde::Serialize;

use super::samples;
use crate::documents::templates::TemplateContext;
use crate::domain::{labels, wareki};

pub(super) const TEMPLATE: &str = "cancellation/cancellation";

#[derive(Debug, Clone, Serialize)]
pub struct CancellationContext {
    /// The date of the PDF in 和暦.
    pub dated: String,
    pub number: String,
    pub product_name: String,
    pub revision: Option<String>,
    pub issued_on: String,
    pub works_name: String,
    /// 請負契約者: the company, or the 代表者 of the JV.
    pub principal_name: String,
    pub joint_venture: Option<String>,
    pub obligee_title: String,
    pub amount: String,
    pub cancelled_on: String,
    pub cause: String,
    pub surety: Surety,
    pub branch: Branch,
}

impl CancellationContext {
    pub fn new(cancellation: &Cancellation) -> Self {
        let certificate = &cancellation.certificate;
        let Certificate { works, principal, .. } = certificate;
        Self {
            dated: wareki::format(cancellation.notified_on),
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
        let context = |(name, cancellation)| (name, Self::new(&cancellation));
        samples::cancellations().into_iter().map(context).collect()
    }
}
