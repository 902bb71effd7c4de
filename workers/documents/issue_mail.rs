//! The context of the mail 電子保証（認証キー）発行完了のお知らせ.
//!
//! It names works, obligee and product, and the place of the notice. It cannot have the authentication key,
//! which is no part of a [`Certificate`].

use hosho_schema::snapshots::{Branch, Certificate};
use serde::Serialize;

use crate::documents::templates::TemplateContext;
use crate::domain::{labels, wareki};

#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct MailContext {
    pub number: String,
    pub product: &'static str,
    /// 対象: 新規 or 変更－n.
    pub revision: String,
    pub amended: bool,
    pub corrected: bool,
    pub works: String,
    pub obligee: String,
    /// 請負契約者; of a joint venture its representative (domain.md, Names).
    pub principal: String,
    pub joint_venture: Option<String>,
    pub issued_on: String,
    pub attached: bool,
    pub surety: String,
    pub branch: Branch,
}

impl MailContext {
    pub fn new(certificate: &Certificate, attached: bool) -> Self {
        Self {
            number: certificate.number.clone(),
            product: labels::product(certificate.product),
            revision: labels::revision(certificate.revision),
            amended: certificate.corrects.is_none() && certificate.revision > 0,
            corrected: certificate.corrects.is_some(),
            works: certificate.works.name.clone(),
            obligee: certificate.obligee.name.clone(),
            principal: certificate.principal.company.name.clone(),
            joint_venture: certificate.principal.joint_venture.clone(),
            issued_on: wareki::format(certificate.issued_on),
            attached,
            surety: certificate.surety.name.clone(),
            branch: certificate.branch.clone(),
        }
    }
}

impl TemplateContext for MailContext {
    const TEMPLATES: &'static [&'static str] =
        &["mail/issued/subject", "mail/issued/body.txt", "mail/issued/body.html"];

    fn samples() -> Vec<(&'static str, Self)> {
        let plain = Self {
            number: "31074-00001M".to_owned(),
            product: "前払金保証",
            revision: "新規".to_owned(),
            amended: false,
            corrected: false,
            works: "市道１２３号線舗装補修工事".to_owned(),
            obligee: "見本市".to_owned(),
            principal: "株式会社見本建設".to_owned(),
            joint_venture: None,
            issued_on: "令和8年7月1日".to_owned(),
            attached: true,
            surety: "東日本見本保証株式会社".to_owned(),
            branch: Branch {
                code: "31".to_owned(),
                name: "見本支店".to_owned(),
                address: "見本県見本市中央一丁目2番3号".to_owned(),
                telephone: "000-000-0001".to_owned(),
                fax: "000-000-0002".to_owned(),
                mail_address: "mihon@surety.example.jp".to_owned(),
            },
        };
        let joint_venture = Self {
            number: "31075-00042M".to_owned(),
            product: "契約保証",
            revision: "変更－2".to_owned(),
            amended: true,
            works: "髙﨑川河川改修（𠮷田工区）その２工事における護岸および管理用通路の整備ならびに附帯する一切の工事".to_owned(),
            principal: "𠮷髙組株式会社".to_owned(),
            joint_venture: Some("𠮷髙・見本特定建設工事共同企業体".to_owned()),
            attached: false,
            ..plain.clone()
        };
        let hostile = Self {
            works: "{{number}} <b>工事</b> & \"引用\"".to_owned(),
            principal: "<script>alert(1)</script>".to_owned(),
            ..plain.clone()
        };
        let corrected = Self { revision: "変更－1".to_owned(), corrected: true, ..plain.clone() };
        vec![
            ("new", plain),
            ("joint-venture-amended-not-attached", joint_venture),
            ("corrected", corrected),
            ("hostile-names", hostile),
        ]
    }
}
