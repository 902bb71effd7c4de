//! Compares rows, numbers, files, mails, events, failed messages with the model.

use std::{
    collections::{BTreeMap, BTreeSet},
    path::{Path, PathBuf},
};

use hosho::{app::App, mail::file_name};
use hosho_schema::{
    db::Connection,
    ids,
    models::{
        authentication_key, counts, document::Kind, failed_message, mail::State, revision::chained_sha256,
    },
    queries::status::{ApplicationStatus, GuaranteeStatus, RevisionStatus, status},
};
use serde_json::Value;
use sha2::{Digest as _, Sha256};

use super::{
    faulty_broker::Record,
    model::{Expected, Line, Outcome, describe},
    senders::Sent,
};
use crate::harness::documents::StoredDocuments;

/// The expected totals of all schedules so far.
#[derive(Default)]
pub struct Totals {
    rows: BTreeMap<&'static str, i64>,
    /// The last number of each branch and term.
    numbers: BTreeMap<(String, String), i64>,
}

impl Totals {
    /// Compares the results of a schedule, adds its totals, and removes its files.
    pub fn check(&mut self, app: &App, folder: &Path, source: &str, sent: &Sent, record: &Record) {
        let expected = Expected::of(sent, &record.decided);
        let mut db = app.db.pool().get().unwrap();
        let ids: Vec<String> = expected.applications.keys().map(|id| ids::application(source, id)).collect();
        let ids: Vec<&str> = ids.iter().map(String::as_str).collect();
        let statuses: Vec<ApplicationStatus> = status(&mut db, &ids)
            .unwrap()
            .into_iter()
            .map(|found| found.expect("every application is stored"))
            .collect();
        for (outcome, status) in expected.applications.values().zip(&statuses) {
            assert_outcome(outcome, status);
        }
        let issued: Vec<(&GuaranteeStatus, &RevisionStatus)> = statuses
            .iter()
            .flat_map(|status| &status.guarantees)
            .map(|found| (found, &found.revisions[0]))
            .collect();
        self.assert_numbers(&issued);
        self.assert_rows(&mut db, &expected, sent);
        assert_failed_messages(&mut db, sent);
        assert_documents(&mut db, app, &issued);
        assert_files(folder, &issued);
        assert_events(record, &expected, source, &issued);
        clear(folder);
    }

    /// The numbers continue those of earlier schedules, without gaps and duplicates.
    fn assert_numbers(&mut self, issued: &[(&GuaranteeStatus, &RevisionStatus)]) {
        let mut given: BTreeMap<(String, String), BTreeSet<i64>> = BTreeMap::new();
        for (found, _) in issued {
            let guarantee = &found.guarantee;
            assert!(
                given
                    .entry((guarantee.branch.clone(), guarantee.term.clone()))
                    .or_default()
                    .insert(guarantee.sequence)
            );
        }
        for (counter, numbers) in given {
            let last = self.numbers.entry(counter).or_default();
            let next = *last + i64::try_from(numbers.len()).unwrap();
            assert_eq!(numbers, (*last + 1..=next).collect(), "numbers have gaps");
            *last = next;
        }
    }

    /// Adds the expected rows of a schedule and compares the totals with all rows.
    fn assert_rows(&mut self, db: &mut Connection, expected: &Expected, sent: &Sent) {
        let lines: Vec<&Line> = expected.lines().collect();
        let electronic = lines.iter().filter(|line| line.electronic).count();
        let failed: BTreeSet<&str> = sent.undeliverable.iter().map(|message| message.id.as_str()).collect();
        for (table, more) in [
            ("application", expected.applications.len()),
            ("engagement", lines.len()),
            ("guarantee", lines.len()),
            ("revision", lines.len()),
            ("authentication_key", electronic),
            ("document", lines.len() + electronic),
            ("mail", lines.iter().filter(|line| line.recipient.is_some()).count()),
            ("failed_message", failed.len()),
            ("requeued", 0),
            ("replay", 0),
        ] {
            *self.rows.entry(table).or_default() += i64::try_from(more).unwrap();
        }
        let found: BTreeMap<&str, i64> =
            counts(db).unwrap().into_iter().filter(|(table, _)| self.rows.contains_key(table)).collect();
        assert_eq!(found, self.rows, "rows, found and expected");
    }
}

/// One guarantee per line, with the key, documents and mail of its medium.
fn assert_outcome(outcome: &Outcome, status: &ApplicationStatus) {
    let id = &status.application.upstream_id;
    let lines = i64::try_from(outcome.lines.len()).unwrap();
    assert_eq!((status.application.lines, status.application.issued_lines), (lines, lines), "{id}");
    assert_eq!(status.application.violations.is_some(), outcome.lines.is_empty(), "{id}");
    assert_eq!(status.guarantees.len(), outcome.lines.len(), "guarantees of {id}");
    for (number, (line, found)) in outcome.lines.iter().zip(&status.guarantees).enumerate() {
        let guarantee = &found.guarantee;
        let at = format!("{id}, line {number}, {}", guarantee.number);
        assert_eq!(usize::try_from(guarantee.line).unwrap(), number, "{at}");
        assert_eq!(serde_json::to_value(guarantee.product).unwrap(), *line.product, "{at}");
        assert_eq!(outcome.document["branch"], *guarantee.branch, "{at}");
        assert_eq!(
            guarantee.number,
            format!("{}{}-{:05}M", guarantee.branch, guarantee.term, guarantee.sequence)
        );
        assert_eq!(found.key_minted_at.is_some(), line.electronic, "key of {at}");
        let [revision] = &found.revisions[..] else {
            panic!("{} certificates of {at}", found.revisions.len())
        };
        let certificate = &revision.revision;
        assert_eq!(
            (certificate.revision, &certificate.content_sha256),
            (0, &chained_sha256(None, &certificate.content)),
            "{at}"
        );
        assert!(certificate.content.contains(&guarantee.number), "{at}");
        assert!(certificate.arrived_at.is_some(), "{at} has not arrived");
        assert!(certificate.completed_at.is_some(), "{at} is not completed");
        let kinds: Vec<Kind> = revision.documents.iter().map(|document| document.kind).collect();
        let wanted: &[Kind] =
            if line.electronic { &[Kind::Certificate, Kind::Notice] } else { &[Kind::Certificate] };
        assert_eq!(kinds, wanted, "documents of {at}");
        let mails: Vec<_> =
            revision.mails.iter().map(|mail| (mail.recipient.as_str(), mail.state, mail.attempts)).collect();
        let wanted: Vec<_> =
            line.recipient.iter().map(|recipient| (recipient.as_str(), State::Accepted, 1)).collect();
        assert_eq!(mails, wanted, "mails of {at}");
    }
}

/// One row for each undeliverable message, also after duplicate deliveries.
fn assert_failed_messages(db: &mut Connection, sent: &Sent) {
    let ids: Vec<&str> = sent.undeliverable.iter().map(|message| message.id.as_str()).collect();
    for (message, row) in sent.undeliverable.iter().zip(failed_message::by_ids(db, &ids).unwrap()) {
        let row = row.unwrap_or_else(|| panic!("a message to {} was lost: {}", message.stage, message.code));
        assert_eq!(
            (row.stage.as_str(), row.code.as_str(), row.state),
            (message.stage, message.code, failed_message::State::Failed)
        );
        assert_eq!(row.payload, message.payload);
        assert!(row.letters >= 1);
    }
}

/// Documents rendered again from the rows of one guarantee are the stored ones.
fn assert_documents(db: &mut Connection, app: &App, issued: &[(&GuaranteeStatus, &RevisionStatus)]) {
    let electronic = issued.iter().find(|(found, _)| found.key_minted_at.is_some());
    let Some((found, revision)) = electronic else { return };
    let key = authentication_key::by_guarantees(db, &[&found.guarantee.id])
        .unwrap()
        .remove(0)
        .map(|row| (row.data_key_id, row.sealed));
    let rendered = app.revision_renderer().documents(&revision.revision, key.as_ref()).unwrap();
    let hashes = rendered.iter().zip(&revision.documents).map(|((kind, bytes), document)| {
        let sha256 = hex::encode(Sha256::digest(bytes));
        (*kind, app.documents.hash(document, &sha256))
    });
    let stored = revision.documents.iter().map(|document| (document.kind, document.sha256.clone()));
    assert!(hashes.eq(stored), "documents of {} rendered again differ", found.guarantee.number);
    assert_eq!(rendered.len(), revision.documents.len());
}

/// The folders contain the documents and mails of the rows and no others.
fn assert_files(folder: &Path, issued: &[(&GuaranteeStatus, &RevisionStatus)]) {
    let rows = issued.iter().flat_map(|(_, revision)| &revision.documents);
    assert_eq!(StoredDocuments::open(folder).assert_are(rows), 0, "segments with an unfinished end");
    let mails = folder.join("mail");
    let wanted: BTreeSet<PathBuf> = issued
        .iter()
        .flat_map(|(_, revision)| &revision.mails)
        .map(|mail| mails.join(file_name(&mail.message_id)))
        .collect();
    assert_eq!(files(&mails), wanted, "mails, found and expected");
}

/// Every result is published and no other; a repeated event is the same message.
fn assert_events(
    record: &Record,
    expected: &Expected,
    source: &str,
    issued: &[(&GuaranteeStatus, &RevisionStatus)],
) {
    let mut messages: BTreeMap<&str, &[u8]> = BTreeMap::new();
    let mut events = BTreeSet::new();
    for (key, envelope) in &record.events {
        let id = envelope.message_id.as_deref().expect("an event has an id");
        let first = messages.entry(id).or_insert(&envelope.payload);
        assert!(*first == envelope.payload, "{key} {id} has two payloads");
        let event: Value = serde_json::from_slice(&envelope.payload).unwrap();
        assert_eq!(event["source"], source);
        if *key == "guarantee.issued" {
            let about =
                |found: &&(&GuaranteeStatus, &RevisionStatus)| event["number"] == *found.0.guarantee.number;
            let (found, revision) = issued.iter().find(about).expect("the event is about a guarantee");
            assert_eq!(envelope.correlation_id.as_ref(), Some(&found.guarantee.application_id));
            assert_eq!(event["certificate_sha256"], *revision.documents[0].sha256);
        }
        events.insert(describe(key, &event));
    }
    assert_eq!(events, expected.events, "events, published and expected");
    assert_eq!(messages.len(), events.len(), "one result has two message ids");
}

fn files(folder: &Path) -> BTreeSet<PathBuf> {
    let entries = std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
    entries.flat_map(|path| if path.is_dir() { files(&path) } else { BTreeSet::from([path]) }).collect()
}

/// Removes the files of the schedule.
fn clear(folder: &Path) {
    for file in files(&folder.join("mail")) {
        std::fs::remove_file(file).unwrap();
    }
    for entry in std::fs::read_dir(folder.join("documents")).unwrap() {
        std::fs::remove_dir_all(entry.unwrap().path()).unwrap();
    }
}
