//! Draws the documents: a template filled in with its context, laid out and written as a PDF.

use std::collections::HashMap;
use std::sync::Arc;

use chrono::NaiveDateTime;
use hosho_schema::snapshots::Certificate;
use serde::Serialize;

use super::cancellation::{Cancellation, CancellationContext};
use super::certificate::CertificateContext;
use super::notice::NoticeContext;

use crate::documents::check;
use crate::documents::templates::{TemplateError, Templates};
use crate::domain::wording;
use crate::pdf::{self, Attachment, Fonts, Info, Materials, PdfError, Pictures, Review, Stock};
use crate::reference::surety::Surety;

/// Says why a document cannot be made.
#[derive(Debug, thiserror::Error)]
pub enum RenderError {
    /// The template does not render.
    #[error("cannot fill in the document")]
    Fill {
        /// Why.
        source: TemplateError,
    },
    /// The markup cannot be drawn.
    #[error("cannot draw template {template}")]
    Draw {
        /// Name of the template.
        template: String,
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
pub struct DocumentRenderer {
    templates: Arc<Templates>,
    fonts: Arc<Fonts>,
    pictures: Pictures,
    stocks: HashMap<&'static str, Stock>,
}

impl DocumentRenderer {
    /// Prepares all templates. One that does not render has nothing to share: [`crate::documents::check`] says what is wrong with it.
    ///
    /// `pictures` are the seals of the surety by their SHA-256; that of the samples is added.
    pub fn new(templates: Arc<Templates>, fonts: Arc<Fonts>, mut pictures: Pictures) -> Self {
        pictures.extend(Surety::sample_seal());
        let mut stocks = HashMap::new();
        for (family, template) in check::documents() {
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
    ) -> Result<Vec<u8>, RenderError> {
        let context = NoticeContext::new(certificate, authentication_key, registry_url);
        let title = title("電子保証にかかる「認証キー」のお知らせ", certificate);
        self.draw(super::notice::TEMPLATE, &context, &info(certificate, title, created, None))
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
    ) -> Result<Vec<u8>, RenderError> {
        self.require_seal(certificate)?;
        let context = CertificateContext::new(certificate);
        let title = title(&format!("保証証書（{}）", wording::product(certificate.product)), certificate);
        let data = Attachment {
            name: "certificate.json",
            description: "この証書の内容（データ）",
            media_type: "application/json",
            content: data.as_bytes().to_vec(),
        };
        self.draw(
            super::certificate::template(certificate.product),
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
    ) -> Result<Vec<u8>, RenderError> {
        self.require_seal(certificate)?;
        let context = CancellationContext::new(certificate, cancellation);
        let title = title("保証契約の解約のお知らせ", certificate);
        self.draw(super::cancellation::TEMPLATE, &context, &info(certificate, title, created, None))
    }

    /// Fails where the document would lack its seal.
    fn require_seal(&self, certificate: &Certificate) -> Result<(), RenderError> {
        match certificate.surety.seal.as_ref().filter(|seal| !self.pictures.contains_key(*seal)) {
            None => Ok(()),
            Some(sha256) => Err(RenderError::NoSeal { sha256: sha256.clone() }),
        }
    }

    /// Draws a template with a context.
    pub fn draw(
        &self,
        template: &str,
        context: &impl Serialize,
        info: &Info,
    ) -> Result<Vec<u8>, RenderError> {
        let markup =
            self.templates.render(template, context).map_err(|source| RenderError::Fill { source })?;
        self.draw_markup(template, &markup, info)
            .map_err(|source| RenderError::Draw { template: template.to_owned(), source })
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
        wording::amendment(certificate.revision).map(|revision| format!(" {revision}")).unwrap_or_default();
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
        subject: wording::product(certificate.product).to_owned(),
        created,
        number: certificate.number.clone(),
        revision: certificate.revision,
        attachment,
    }
}
