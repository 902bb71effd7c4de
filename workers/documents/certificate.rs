//! The certificate: 前払金保証, 中間前払金保証 and 契約保証, electronic and on paper.
//!
//! For one year of a multi-year contract 保証期限 is the end of that fiscal year; the certificate then says
//! which year it is and the base of the amount (今年度対象額). No published rule requires it, but without it
//! an official who compares 保証金額 with 請負金額 would find the amount too small, and the end of March
//! without a reason.
//!
//! A page is set wide or dense ([`CertificateContext::is_dense`]): a plain certificate must not leave a third
//! of its page empty, and a full one must not put its notes alone on a second page. Two settings chosen by
//! counting lines were preferred to a stretching layout: the same certificate looks the same in every version
//! of the layout.

use hosho_schema::messages::{MediumV1, ProductV1};
use hosho_schema::snapshots::{Branch, Certificate, Company, Surety};
use serde::Serialize;

use super::samples;
use crate::documents::templates::TemplateContext;
use crate::domain::{labels, wareki};

pub(super) fn template(product: ProductV1) -> &'static str {
    match product {
        ProductV1::AdvancePayment => "certificate/advance_payment",
        ProductV1::InterimAdvancePayment => "certificate/interim_advance_payment",
        ProductV1::Performance => "certificate/performance",
    }
}

/// Most 構成員 listed beside 保証契約者 that keep the certificate on one page.
const MOST_MEMBERS_BESIDE: usize = 3;

/// Lines beyond those of the plainest certificate that fit on a page set wide.
const MOST_LINES_MORE: usize = 3;

/// Full-width characters on a line of the table.
const LINE_WIDTH: usize = 31;

/// Lines beyond those of the plainest certificate.
/// Long texts, a joint venture, an amendment and a fiscal year add lines.
fn lines_more(certificate: &Certificate) -> usize {
    let Certificate { works, principal, .. } = certificate;
    let further = |text: &str| {
        text.chars().map(|character| if character.is_ascii() { 1 } else { 2 }).sum::<usize>()
            / (2 * LINE_WIDTH)
    };
    let company = |company: &Company| {
        further(&company.address) + further(&format!("{}　{}", company.name, company.representative))
    };
    let members = if principal.members.len() > MOST_MEMBERS_BESIDE { 1 } else { 2 * principal.members.len() };
    let texts = [
        Some(&works.name),
        certificate.bank.as_ref(),
        Some(&certificate.obligee.title),
        principal.joint_venture.as_ref(),
    ];
    texts.into_iter().flatten().map(|text| further(text)).sum::<usize>()
        + company(&principal.company)
        + if principal.joint_venture.is_some() { 1 + members } else { 0 }
        + if certificate.revision > 0 { 2 } else { 0 }
        + if works.fiscal_year.is_some() { 2 } else { 0 }
}

#[derive(Debug, Clone, Serialize)]
pub struct CertificateContext {
    /// Electronic: the caption is printed.
    pub is_electronic: bool,
    pub issued_on: String,
    pub product_name: String,
    /// 変更－n of an amended certificate.
    pub revision: Option<String>,
    pub number: String,
    pub principal: PrincipalContext,
    pub obligee_title: String,
    pub amount: String,
    pub expires_on: String,
    pub works_name: String,
    pub contract_price: String,
    /// 工期, first day in 和暦.
    pub from: String,
    /// 工期, last day in 和暦.
    pub to: String,
    /// 請負契約日 in 和暦; blank before the contract is signed.
    pub contract_date: Option<String>,
    /// The fiscal year of a multi-year contract, such as 令和8年度.
    /// None for a 契約保証, which is for the whole contract.
    pub fiscal_year: Option<String>,
    pub this_year_base: Option<String>,
    pub bank: Option<String>,
    pub surety: Surety,
    pub branch: Branch,
    /// The table exceeds the page when set wide: the template uses the dense setting.
    pub is_dense: bool,
    #[serde(skip)]
    template: &'static str,
}

#[derive(Debug, Clone, Serialize)]
pub struct PrincipalContext {
    pub joint_venture: Option<String>,
    /// The company, or the 代表者 of the JV.
    pub company: Company,
    pub members: Vec<Company>,
    /// So many that they are listed on a sheet of their own (別記).
    pub members_apart: bool,
}

impl CertificateContext {
    pub fn new(certificate: &Certificate) -> Self {
        let Certificate { works, principal, .. } = certificate;
        let for_a_year = certificate.product != ProductV1::Performance;
        Self {
            is_electronic: certificate.medium == MediumV1::Electronic,
            issued_on: wareki::format(certificate.issued_on),
            product_name: labels::product(certificate.product).to_owned(),
            revision: labels::amendment(certificate.revision),
            number: certificate.number.clone(),
            principal: PrincipalContext {
                joint_venture: principal.joint_venture.clone(),
                company: principal.company.clone(),
                members: principal.members.clone(),
                members_apart: principal.members.len() > MOST_MEMBERS_BESIDE,
            },
            obligee_title: certificate.obligee.title.clone(),
            amount: certificate.amount.to_string(),
            expires_on: wareki::format(certificate.expires_on),
            works_name: works.name.clone(),
            contract_price: works.contract_price.to_string(),
            from: wareki::format(works.from),
            to: wareki::format(works.to),
            contract_date: works.contract_date.map(wareki::format),
            fiscal_year: works.fiscal_year.filter(|_| for_a_year).map(labels::fiscal_year),
            this_year_base: certificate.this_year_base.filter(|_| for_a_year).map(|base| base.to_string()),
            bank: certificate.bank.clone(),
            surety: certificate.surety.clone(),
            branch: certificate.branch.clone(),
            is_dense: lines_more(certificate) > MOST_LINES_MORE,
            template: template(certificate.product),
        }
    }
}

impl TemplateContext for CertificateContext {
    const TEMPLATES: &'static [&'static str] =
        &["certificate/advance_payment", "certificate/interim_advance_payment", "certificate/performance"];

    fn samples() -> Vec<(&'static str, Self)> {
        samples::certificates()
            .into_iter()
            .map(|(name, certificate)| (name, Self::new(&certificate)))
            .collect()
    }

    fn fits(&self, template: &str) -> bool {
        self.template == template
    }
}
