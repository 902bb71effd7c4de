//! The notice, which carries number and key to the obligee.

use hosho_schema::snapshots::{Certificate, Channel};
use serde::Serialize;

use super::samples;
use crate::documents::templates::TemplateContext;
use crate::domain::{labels, wareki};

pub(super) const TEMPLATE: &str = "notice/notice";

/// Holds the authentication key: no `Debug`, never logged.
#[derive(Clone, Serialize)]
pub struct NoticeContext {
    pub issued_on: String,
    pub works_name: String,
    /// 受注者名: the company, or the 代表者 of the JV.
    pub principal_name: String,
    pub joint_venture: Option<String>,
    pub product_name: String,
    pub revision: Option<String>,
    pub number: String,
    pub authentication_key: String,
    pub obligee_name: String,
    pub department: Option<String>,
    /// Handed in by upload; by mail otherwise.
    pub is_upload: bool,
    pub system: Option<String>,
    pub mail_address: Option<String>,
    pub subject: Option<String>,
    pub registry_url: String,
    /// The registry's page for this number. Never contains the key.
    pub registry_link: String,
    pub surety_name: String,
    pub branch_name: String,
    pub branch_telephone: String,
    pub branch_fax: String,
}

impl NoticeContext {
    pub fn new(certificate: &Certificate, authentication_key: &str, registry_url: &str) -> Self {
        let Certificate { works, principal, obligee, surety, branch, .. } = certificate;
        let submission = &obligee.submission;
        let is_upload = submission.channel == Channel::Upload;
        Self {
            issued_on: wareki::format(certificate.issued_on),
            works_name: works.name.clone(),
            principal_name: principal.company.name.clone(),
            joint_venture: principal.joint_venture.clone(),
            product_name: labels::product(certificate.product).to_owned(),
            revision: labels::amendment(certificate.revision),
            number: certificate.number.clone(),
            authentication_key: authentication_key.to_owned(),
            obligee_name: obligee.name.clone(),
            department: submission.department.clone(),
            is_upload,
            system: submission.system.clone().filter(|_| is_upload),
            mail_address: submission.mail_address.clone().filter(|_| !is_upload),
            subject: submission.subject.clone().filter(|_| !is_upload),
            registry_url: registry_url.to_owned(),
            registry_link: link(registry_url, &certificate.number),
            surety_name: surety.name.clone(),
            branch_name: branch.name.clone(),
            branch_telephone: branch.telephone.clone(),
            branch_fax: branch.fax.clone(),
        }
    }
}

fn link(registry_url: &str, number: &str) -> String {
    let mark = if registry_url.contains('?') { '&' } else { '?' };
    let number: String = url::form_urlencoded::byte_serialize(number.as_bytes()).collect();
    format!("{registry_url}{mark}number={number}")
}

impl TemplateContext for NoticeContext {
    const TEMPLATES: &'static [&'static str] = &[TEMPLATE];

    fn samples() -> Vec<(&'static str, Self)> {
        let context = |certificate| Self::new(&certificate, samples::KEY, samples::REGISTRY);
        samples::notices().into_iter().map(|(name, certificate)| (name, context(certificate))).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_link_carries_the_number_and_nothing_else() {
        assert_eq!(
            link("https://registry.example.jp/open", "31074-00001M"),
            "https://registry.example.jp/open?number=31074-00001M"
        );
        assert_eq!(
            link("https://registry.example.jp/?a=b", "1&x=2"),
            "https://registry.example.jp/?a=b&number=1%26x%3D2"
        );
        for (name, context) in NoticeContext::samples() {
            assert!(!context.registry_link.contains(samples::KEY), "{name}");
        }
    }
}
