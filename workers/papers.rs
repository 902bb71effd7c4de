//! The documents of the business: what stands in them, and how it is written.
//!
//! Each kind of document has one context: plain texts, formatted here and nowhere else (和暦, 12,345,000円, 変更－n).
//! A template only arranges them. Contexts are built from the certificate's snapshot alone, so that a document drawn
//! years later says what it said on its first day.
//!
//! The authentication key is in the notice and in no other document, and there only as text: the QR code opens the
//! registry with the guarantee number and leaves the key to be typed.
//!
//! A seal is a picture by the name of its SHA-256, as the certificate's snapshot names it. One that is not at hand is an
//! error: a document without its seal would be another document.

mod cancellation;
mod certificate;
mod notice;
mod samples;

use std::collections::HashMap;
use std::sync::Arc;

use chrono::NaiveDateTime;
use hosho_schema::snapshots::Certificate;
use serde::Serialize;

pub use cancellation::{Cancellation, CancellationContext};
pub use certificate::{CertificateContext, PrincipalContext};
pub use notice::NoticeContext;

use crate::domain::labels;
use crate::pdf::{self, Attachment, Fonts, Info, Materials, PdfError, Pictures, Review, Stock};
use crate::proofs;
use crate::surety::Surety;
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
    /// The seal of the certificate is none of those at hand.
    #[error(
        "no entry of the surety has the seal {sha256} of the certificate: keep the entries and the PNG files of the past"
    )]
    NoSeal {
        /// SHA-256 of its PNG.
        sha256: String,
    },
}

/// What documents are made with: templates, faces and pictures, and for each template what its copies share.
///
/// Prepared once per process; share it behind an `Arc`. Drawing takes about a millisecond of CPU: do it off the async
/// threads.
pub struct Press {
    templates: Arc<Templates>,
    fonts: Arc<Fonts>,
    pictures: Pictures,
    stocks: HashMap<&'static str, Stock>,
}

impl Press {
    /// Prepares all templates. One that does not render has nothing to share: [`crate::proofs`] says what is wrong with it.
    ///
    /// `pictures` are the seals of the surety by their SHA-256; that of the samples is added.
    pub fn new(templates: Arc<Templates>, fonts: Arc<Fonts>, mut pictures: Pictures) -> Self {
        pictures.extend(Surety::sample_seal());
        let mut stocks = HashMap::new();
        for (family, template) in proofs::documents() {
            let markups: Vec<String> = family
                .rendered(&templates, template)
                .into_iter()
                .filter_map(|(_, markup)| markup.ok())
                .collect();
            let stock = pdf::stock(markups.iter().map(String::as_str), &fonts, &pictures).unwrap_or_default();
            stocks.insert(template, stock);
        }
        Self { templates, fonts, pictures, stocks }
    }

    /// Draws the notice (電子保証にかかる「認証キー」のお知らせ) of an electronic certificate.
    ///
    /// `registry_url` is the page where obligees enter number and key; `created` (UTC) is the date in the file. The same
    /// arguments give the same bytes.
    pub fn notice(
        &self,
        certificate: &Certificate,
        authentication_key: &str,
        registry_url: &str,
        created: NaiveDateTime,
    ) -> Result<Vec<u8>, PaperError> {
        let context = NoticeContext::new(certificate, authentication_key, registry_url);
        let title = title("電子保証にかかる「認証キー」のお知らせ", certificate);
        self.draw(notice::TEMPLATE, &context, &info(certificate, title, created, None))
    }

    /// Draws the certificate (保証証書). A paper one is the same document without the electronic caption.
    ///
    /// `data` is the content as it is stored, which the file carries along; `created` (UTC) is the date in the file. The same
    /// arguments give the same bytes.
    pub fn certificate(
        &self,
        certificate: &Certificate,
        data: &str,
        created: NaiveDateTime,
    ) -> Result<Vec<u8>, PaperError> {
        self.require_seal(certificate)?;
        let context = CertificateContext::new(certificate);
        let title = title(&format!("保証証書（{}）", labels::product(certificate.product)), certificate);
        let data = Attachment {
            name: "certificate.json",
            description: "この証書の内容（データ）",
            media_type: "application/json",
            content: data.as_bytes().to_vec(),
        };
        self.draw(
            certificate::template(certificate.product),
            &context,
            &info(certificate, title, created, Some(data)),
        )
    }

    /// Draws the letter that tells the contractor of the end of a guarantee (解約のお知らせ).
    ///
    /// `certificate` is the revision that held when it ended, `created` (UTC) the date in the file. The same arguments give
    /// the same bytes.
    pub fn cancellation(
        &self,
        certificate: &Certificate,
        cancellation: &Cancellation,
        created: NaiveDateTime,
    ) -> Result<Vec<u8>, PaperError> {
        self.require_seal(certificate)?;
        let context = CancellationContext::new(certificate, cancellation);
        let title = title("保証契約の解約のお知らせ", certificate);
        self.draw(cancellation::TEMPLATE, &context, &info(certificate, title, created, None))
    }

    /// Fails where the document would lack its seal.
    fn require_seal(&self, certificate: &Certificate) -> Result<(), PaperError> {
        match certificate.surety.seal.as_ref().filter(|seal| !self.pictures.contains_key(*seal)) {
            None => Ok(()),
            Some(sha256) => Err(PaperError::NoSeal { sha256: sha256.clone() }),
        }
    }

    /// Draws a template with a context.
    pub fn draw(&self, template: &str, context: &impl Serialize, info: &Info) -> Result<Vec<u8>, PaperError> {
        let markup =
            self.templates.render(template, context).map_err(|source| PaperError::Fill { source })?;
        self.draw_markup(template, &markup, info).map_err(|source| PaperError::Draw { source })
    }

    /// Draws markup that a template has rendered to.
    pub fn draw_markup(&self, template: &str, markup: &str, info: &Info) -> Result<Vec<u8>, PdfError> {
        let nothing = Stock::default();
        let stock = self.stocks.get(template).unwrap_or(&nothing);
        let materials = Materials { fonts: &self.fonts, pictures: &self.pictures, stock };
        pdf::draw(markup, materials, info)
    }

    /// Lays markup out, and says what there is to know of it besides its bytes.
    pub fn review(&self, markup: &str) -> Result<Review, PdfError> {
        pdf::review(markup, &self.fonts, &self.pictures)
    }

    /// The templates.
    pub fn templates(&self) -> &Arc<Templates> {
        &self.templates
    }

    /// The faces.
    pub fn fonts(&self) -> &Arc<Fonts> {
        &self.fonts
    }

    /// What, besides its content, decides a document's bytes.
    pub fn identity(&self) -> String {
        format!(
            "hosho:{} fonts:{} templates:{}",
            env!("CARGO_PKG_VERSION"),
            self.fonts.sha256(),
            self.templates.sha256()
        )
    }
}

/// What a document is called, with the number and the revision that tell it from others.
fn title(name: &str, certificate: &Certificate) -> String {
    let revision =
        labels::amendment(certificate.revision).map(|revision| format!(" {revision}")).unwrap_or_default();
    format!("{name} {}{revision}", certificate.number)
}

fn info(
    certificate: &Certificate,
    title: String,
    created: NaiveDateTime,
    attachment: Option<Attachment>,
) -> Info {
    Info {
        title,
        author: certificate.surety.name.clone(),
        subject: labels::product(certificate.product).to_owned(),
        created,
        number: certificate.number.clone(),
        revision: certificate.revision,
        attachment,
    }
}

#[cfg(test)]
mod pictures;
#[cfg(test)]
mod tests;
