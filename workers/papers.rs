//! The documents of the business: what stands in them, and how it is written.
//!
//! Each kind of document has one context: plain texts, formatted here and nowhere else (和暦, 12,345,000円, 変更－n).
//! A template only arranges them. Contexts are built from the certificate's snapshot alone, so that a document drawn
//! years later says what it said on its first day.
//!
//! The authentication key is in the notice and in no other document, and there only as text: the QR code opens the
//! registry with the guarantee number and leaves the key to be typed.

mod certificate;
mod notice;
mod samples;

use chrono::NaiveDateTime;
use hosho_schema::snapshots::Certificate;

pub use certificate::{CertificateContext, PrincipalContext};
pub use notice::NoticeContext;

use crate::domain::wording;
use crate::pdf::{self, Fonts, Info, PdfError};
use crate::templates::{TemplateError, Templates};

/// Says why a document cannot be made.
#[derive(Debug, thiserror::Error)]
pub enum PaperError {
    /// The template does not render.
    #[error("cannot fill in the document")]
    Fill {
        /// Why.
        source: TemplateError,
    },
    /// The markup cannot be drawn.
    #[error("cannot draw the document")]
    Draw {
        /// Why.
        source: PdfError,
    },
}

/// Draws the notice (電子保証にかかる「認証キー」のお知らせ) of an electronic certificate.
///
/// `registry_url` is the page where obligees enter number and key; `created` (UTC) is the date in the file. The same
/// arguments give the same bytes.
pub fn notice(
    templates: &Templates,
    fonts: &Fonts,
    certificate: &Certificate,
    authentication_key: &str,
    registry_url: &str,
    created: NaiveDateTime,
) -> Result<Vec<u8>, PaperError> {
    let context = NoticeContext::new(certificate, authentication_key, registry_url);
    let markup = templates.render(notice::TEMPLATE, &context).map_err(|source| PaperError::Fill { source })?;
    let title = format!("電子保証にかかる「認証キー」のお知らせ {}", certificate.number);
    draw(&markup, fonts, certificate, title, created)
}

/// Draws the certificate (保証証書). A paper one is the same document without the electronic caption.
///
/// `created` (UTC) is the date in the file. The same arguments give the same bytes.
pub fn certificate(templates: &Templates, fonts: &Fonts, certificate: &Certificate, created: NaiveDateTime) -> Result<Vec<u8>, PaperError> {
    let context = CertificateContext::new(certificate);
    let template = certificate::template(certificate.product);
    let markup = templates.render(template, &context).map_err(|source| PaperError::Fill { source })?;
    let revision = wording::amendment(certificate.revision).map(|revision| format!(" {revision}")).unwrap_or_default();
    let title = format!("保証証書（{}） {}{revision}", wording::product(certificate.product), certificate.number);
    draw(&markup, fonts, certificate, title, created)
}

fn draw(markup: &str, fonts: &Fonts, certificate: &Certificate, title: String, created: NaiveDateTime) -> Result<Vec<u8>, PaperError> {
    let info = Info { title, author: certificate.surety.name.clone(), subject: wording::product(certificate.product).to_owned(), created };
    pdf::draw(markup, fonts, &info).map_err(|source| PaperError::Draw { source })
}

#[cfg(test)]
mod tests;
