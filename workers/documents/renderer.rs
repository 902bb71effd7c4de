//! Fills in a template with its context, lays it out and writes a PDF.

use std::collections::HashMap;
use std::sync::Arc;

use chrono::NaiveDateTime;
use hosho_schema::snapshots::{Cancellation, Certificate};
use serde::Serialize;

use super::cancellation::CancellationContext;
use super::certificate::CertificateContext;
use super::notice::NoticeContext;

use crate::documents::check;
use crate::documents::templates::{TemplateError, Templates};
use crate::domain::labels;
use crate::pdf::{self, Attachment, Diagnostics, Fonts, GlyphCache, Info, Materials, PdfError, Pictures};
use crate::reference::surety::Surety;

#[derive(Debug, thiserror::Error)]
pub enum RenderError {
    #[error("cannot fill in the document")]
    Fill { source: TemplateError },
    #[error("cannot draw template {template}{}", row.as_ref().map(|row| format!(", row {row}")).unwrap_or_default())]
    Draw {
        template: String,
        /// Label of the table row that does not fit.
        row: Option<String>,
        source: PdfError,
    },
    #[error(
        "no entry of the surety has the seal {sha256} of the certificate: keep the entries and the PNG files of the past"
    )]
    NoSeal { sha256: String },
}

/// Prepared once per process; share it behind an `Arc`.
/// A document takes about a millisecond of CPU: render it on a blocking thread.
pub struct DocumentRenderer {
    templates: Arc<Templates>,
    fonts: Arc<Fonts>,
    pictures: Pictures,
    glyph_caches: HashMap<&'static str, GlyphCache>,
}

/// The same arguments give the same bytes; `created` (UTC) is the date in the file.
impl DocumentRenderer {
    /// [`check`] reports templates that do not render.
    /// `pictures` are the seals of the surety by SHA-256; the seal of the samples is added.
    pub fn new(templates: Arc<Templates>, fonts: Arc<Fonts>, mut pictures: Pictures) -> Self {
        pictures.extend(Surety::sample_seal());
        let mut glyph_caches = HashMap::new();
        for (family, template) in check::documents() {
            let markups: Vec<String> = family
                .rendered(&templates, template)
                .into_iter()
                .filter_map(|(_, markup)| markup.ok())
                .collect();
            let glyph_cache =
                pdf::GlyphCache::from_samples(markups.iter().map(String::as_str), &fonts, &pictures)
                    .unwrap_or_default();
            glyph_caches.insert(template, glyph_cache);
        }
        Self { templates, fonts, pictures, glyph_caches }
    }

    /// `registry_url` is the page where obligees enter number and key.
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

    /// A paper one lacks the electronic caption; `data` is the content as stored.
    pub fn certificate(
        &self,
        certificate: &Certificate,
        data: &str,
        created: NaiveDateTime,
    ) -> Result<Vec<u8>, RenderError> {
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
            super::certificate::template(certificate.product),
            &context,
            &info(certificate, title, created, Some(data)),
        )
    }

    pub fn cancellation(
        &self,
        cancellation: &Cancellation,
        created: NaiveDateTime,
    ) -> Result<Vec<u8>, RenderError> {
        let certificate = &cancellation.certificate;
        self.require_seal(certificate)?;
        let context = CancellationContext::new(cancellation);
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

    pub fn draw(
        &self,
        template: &str,
        context: &impl Serialize,
        info: &Info,
    ) -> Result<Vec<u8>, RenderError> {
        let markup =
            self.templates.render(template, context).map_err(|source| RenderError::Fill { source })?;
        self.draw_markup(template, &markup, info).map_err(|source| RenderError::Draw {
            template: template.to_owned(),
            row: source.row_label(&markup),
            source,
        })
    }

    pub fn draw_markup(&self, template: &str, markup: &str, info: &Info) -> Result<Vec<u8>, PdfError> {
        let nothing = GlyphCache::default();
        let glyph_cache = self.glyph_caches.get(template).unwrap_or(&nothing);
        let materials = Materials { fonts: &self.fonts, pictures: &self.pictures, glyph_cache };
        pdf::draw(markup, materials, info)
    }

    /// Pages of laid-out markup, and characters drawn by a fallback font.
    pub fn review(&self, markup: &str) -> Result<Diagnostics, PdfError> {
        pdf::diagnose(markup, &self.fonts, &self.pictures)
    }

    pub fn templates(&self) -> &Arc<Templates> {
        &self.templates
    }

    pub fn fonts(&self) -> &Arc<Fonts> {
        &self.fonts
    }

    /// Everything besides its content that determines the bytes of a document.
    pub fn identity(&self) -> String {
        format!(
            "hosho:{} fonts:{} templates:{}",
            env!("CARGO_PKG_VERSION"),
            self.fonts.sha256(),
            self.templates.sha256()
        )
    }
}

/// Title with number and revision, unique per document.
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
