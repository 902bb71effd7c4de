//! Renders the documents of a stored revision.
//!
//! The render stage stores them; `hosho documents verify` renders again and compares. The same content,
//! program, fonts, templates and settings give the same bytes, so a difference is an unwanted change.

use std::sync::Arc;

use hosho_schema::{
    messages::MediumV1,
    models::{
        document::Kind,
        revision::{self, Revision},
    },
    snapshots::{self, Certificate},
};
use sha2::{Digest as _, Sha256};

use crate::{
    documents::renderer::{DocumentRenderer, RenderError},
    fault::{Fault, Reason, chain},
    keys::KeyRing,
};

/// A sealed authentication key: identifier of the data key, and the sealed bytes.
pub type Sealed = (String, Vec<u8>);

/// The documents of a revision, or the fault of each.
pub type Each<T> = Vec<(Kind, Result<T, Fault>)>;

/// The fault of a document of the guarantee `number`.
fn failed(number: &str, revision: &Revision, error: &RenderError) -> Fault {
    let text = format!("revision {} of guarantee {number}: {}", revision.revision, chain(error));
    Fault::new(Reason::DocumentFailed, text)
}

/// Cheap to clone.
#[derive(Clone)]
pub struct RevisionRenderer {
    renderer: Arc<DocumentRenderer>,
    keys: Arc<KeyRing>,
    registry_url: String,
}

impl RevisionRenderer {
    /// `registry_url` is the page where obligees enter number and key.
    pub fn new(renderer: Arc<DocumentRenderer>, keys: Arc<KeyRing>, registry_url: String) -> Self {
        Self { renderer, keys, registry_url }
    }

    /// Certificate and, if electronic, notice.
    /// Of a cancellation its PDF, of a reversal none. Takes about 2 ms of CPU.
    pub fn documents(
        &self,
        revision: &Revision,
        sealed: Option<&Sealed>,
    ) -> Result<Vec<(Kind, Vec<u8>)>, Fault> {
        self.each(revision, sealed)?.into_iter().map(|(kind, drawn)| Ok((kind, drawn?))).collect()
    }

    /// The same, each with its own fault.
    pub fn each(&self, revision: &Revision, sealed: Option<&Sealed>) -> Result<Each<Vec<u8>>, Fault> {
        match revision.kind {
            revision::Kind::New | revision::Kind::Amendment | revision::Kind::Correction => {}
            revision::Kind::Reversal => return Ok(Vec::new()),
            revision::Kind::Cancellation => {
                return Ok(vec![(Kind::Cancellation, self.cancellation(revision))]);
            }
        }
        let content: Certificate =
            snapshots::read(&revision.content).map_err(|error| Fault::unreadable("certificate", &error))?;
        let certificate = self
            .renderer
            .certificate(&content, &revision.content, revision.drawn_at)
            .map_err(|error| failed(&content.number, revision, &error));
        let mut drawn = vec![(Kind::Certificate, certificate)];
        if content.medium == MediumV1::Electronic {
            drawn.push((Kind::Notice, self.notice(&content, revision, sealed)));
        }
        Ok(drawn)
    }

    fn cancellation(&self, revision: &Revision) -> Result<Vec<u8>, Fault> {
        let content: snapshots::Cancellation =
            snapshots::read(&revision.content).map_err(|error| Fault::unreadable("cancellation", &error))?;
        self.renderer
            .cancellation(&content, revision.drawn_at)
            .map_err(|error| failed(&content.certificate.number, revision, &error))
    }

    fn notice(
        &self,
        content: &Certificate,
        revision: &Revision,
        sealed: Option<&Sealed>,
    ) -> Result<Vec<u8>, Fault> {
        let guarantee = &revision.guarantee_id;
        let (data_key_id, sealed) =
            sealed.ok_or_else(|| Fault::missing("authentication key of guarantee", guarantee))?;
        let key = self
            .keys
            .open(data_key_id, sealed, guarantee)
            .map_err(|error| Fault::from_error(Reason::KeyUnusable, &error))?;
        self.renderer
            .notice(content, key.expose(), &self.registry_url, revision.drawn_at)
            .map_err(|error| failed(&content.number, revision, &error))
    }

    /// Everything besides its content that determines the bytes of a document.
    pub fn identity(&self) -> String {
        let registry = hex::encode(Sha256::digest(&self.registry_url));
        format!("{} registry:{}", self.renderer.identity(), &registry[..16])
    }
}
