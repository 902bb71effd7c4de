//! The certificate: 前払金保証, 中間前払金保証 and 契約保証, electronic and on paper.

use hosho_schema::messages::{MediumV1, ProductV1};
use hosho_schema::snapshots::{Branch, Certificate, Company, Surety};
use serde::Serialize;

use super::samples;
use crate::domain::{wareki, wording};
use crate::templates::TemplateContext;

/// The template of a product.
pub(super) fn template(product: ProductV1) -> &'static str {
    match product {
        ProductV1::AdvancePayment => "certificate/advance_payment",
        ProductV1::InterimAdvancePayment => "certificate/interim_advance_payment",
        ProductV1::Performance => "certificate/performance",
    }
}

/// What a certificate says.
#[derive(Debug, Clone, Serialize)]
pub struct CertificateContext {
    /// Electronic: the caption is printed.
    pub is_electronic: bool,
    /// 発行日 in 和暦.
    pub issued_on: String,
    /// 商品.
    pub product_name: String,
    /// 変更－n of an amended certificate.
    pub revision: Option<String>,
    /// 保証契約番号.
    pub number: String,
    /// 保証契約者.
    pub principal: PrincipalContext,
    /// 被保証者: the obligee's 職名.
    pub obligee_title: String,
    /// 保証金額（総額）.
    pub amount: String,
    /// 保証期限 in 和暦.
    pub expires_on: String,
    /// 工事名.
    pub works_name: String,
    /// 請負金額（総額）.
    pub contract_price: String,
    /// 工期, first day in 和暦.
    pub from: String,
    /// 工期, last day in 和暦.
    pub to: String,
    /// 請負契約日 in 和暦; blank before the contract is signed.
    pub contract_date: Option<String>,
    /// 預託金融機関.
    pub bank: Option<String>,
    /// 保証会社.
    pub surety: Surety,
    /// 取扱箇所.
    pub branch: Branch,
}

/// 保証契約者 as it is printed.
#[derive(Debug, Clone, Serialize)]
pub struct PrincipalContext {
    /// JV名.
    pub joint_venture: Option<String>,
    /// The company, or the 代表者 of the JV.
    pub company: Company,
    /// 構成員 of the JV.
    pub members: Vec<Company>,
}

impl CertificateContext {
    /// Builds the content from a certificate's snapshot.
    pub fn new(certificate: &Certificate) -> Self {
        let Certificate { works, principal, .. } = certificate;
        Self {
            is_electronic: certificate.medium == MediumV1::Electronic,
            issued_on: wareki::format(certificate.issued_on),
            product_name: wording::product(certificate.product).to_owned(),
            revision: wording::amendment(certificate.revision),
            number: certificate.number.clone(),
            principal: PrincipalContext {
                joint_venture: principal.joint_venture.clone(),
                company: principal.company.clone(),
                members: principal.members.clone(),
            },
            obligee_title: certificate.obligee.title.clone(),
            amount: certificate.amount.to_string(),
            expires_on: wareki::format(certificate.expires_on),
            works_name: works.name.clone(),
            contract_price: works.contract_price.to_string(),
            from: wareki::format(works.from),
            to: wareki::format(works.to),
            contract_date: works.contract_date.map(wareki::format),
            bank: certificate.bank.clone(),
            surety: certificate.surety.clone(),
            branch: certificate.branch.clone(),
        }
    }
}

impl TemplateContext for CertificateContext {
    const TEMPLATES: &'static [&'static str] =
        &["certificate/advance_payment", "certificate/interim_advance_payment", "certificate/performance"];

    fn samples() -> Vec<(&'static str, Self)> {
        samples::certificates().into_iter().map(|(name, certificate)| (name, Self::new(&certificate))).collect()
    }
}
