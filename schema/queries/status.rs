//! The state of applications, with all their rows.

use chrono::NaiveDateTime;

use crate::db::{Connection, Result};
use crate::models::application::{self, Application};
use crate::models::authentication_key;
use crate::models::document::{self, Document};
use crate::models::guarantee::{self, Guarantee};
use crate::models::mail::{self, Mail};
use crate::models::revision::{self, Revision};

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ApplicationStatus {
    /// The application; its `lines` says how many guarantees there will be.
    pub application: Application,
    /// The guarantees issued so far, in the order of their lines.
    pub guarantees: Vec<GuaranteeStatus>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct GuaranteeStatus {
    pub guarantee: Guarantee,
    pub key_minted_at: Option<NaiveDateTime>,
    pub revisions: Vec<RevisionStatus>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RevisionStatus {
    pub revision: Revision,
    pub documents: Vec<Document>,
    pub mails: Vec<Mail>,
}

/// Finds applications by 保証契約番号, our identifier or an upstream's id.
/// Several sources may use the same id. Returns our identifiers.
pub fn locate(db: &mut Connection, key: &str) -> Result<Vec<String>> {
    if let Some(guarantee) = guarantee::by_number(db, key)? {
        return Ok(vec![guarantee.application_id]);
    }
    Ok(application::find(db, key)?.into_iter().map(|application| application.id).collect())
}

/// Reads applications with all their rows, in six queries.
pub fn status(db: &mut Connection, application_ids: &[&str]) -> Result<Vec<Option<ApplicationStatus>>> {
    let applications = application::by_ids(db, application_ids)?;
    let guarantees = guarantee::by_applications(db, application_ids)?;

    let guarantee_ids: Vec<_> = guarantees.iter().flatten().map(|guarantee| guarantee.id.as_str()).collect();
    let keys = authentication_key::by_guarantees(db, &guarantee_ids)?;
    let revisions = revision::by_guarantees(db, &guarantee_ids)?;

    let revision_ids: Vec<_> = revisions.iter().flatten().map(|revision| revision.id.as_str()).collect();
    let documents = document::by_revisions(db, &revision_ids)?;
    let mails = mail::by_revisions(db, &revision_ids)?;

    // Every list is in the order of the one before: take from each as many as belong together.
    let mut details = documents.into_iter().zip(mails);
    let mut of_guarantee = keys.into_iter().zip(revisions.clone());
    Ok(applications
        .into_iter()
        .zip(guarantees)
        .map(|(application, guarantees)| {
            let guarantees = guarantees
                .into_iter()
                .zip(&mut of_guarantee)
                .map(|(guarantee, (key, revisions))| GuaranteeStatus {
                    guarantee,
                    key_minted_at: key.map(|key| key.minted_at),
                    revisions: revisions
                        .into_iter()
                        .zip(&mut details)
                        .map(|(revision, (documents, mails))| RevisionStatus { revision, documents, mails })
                        .collect(),
                })
                .collect();
            application.map(|application| ApplicationStatus { application, guarantees })
        })
        .collect())
}
