//! Conformance suite of the queries: PostgreSQL and SQLite give the same results.

mod applications;
mod batches;
mod failures;
mod issuing;
mod ledger;
mod lookups;
mod outages;
mod races;
mod status;
mod works;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Barrier;
use std::time::Duration;

use chrono::{DateTime, NaiveDateTime, TimeDelta, Timelike};
use hosho_schema::db::{self, Backend, Connection, DbError, Pool, micros};
use hosho_schema::ids;
use hosho_schema::messages::{MediumV1, ProductV1};
use hosho_schema::models::application::{self, Application, Status};
use hosho_schema::models::authentication_key::{self, AuthenticationKey};
use hosho_schema::models::counts;
use hosho_schema::models::document::{self, Document, Kind};
use hosho_schema::models::guarantee::{self, Guarantee};
use hosho_schema::models::mail::{self, Mail, Outcome, Settlement, State};
use hosho_schema::models::revision::{self, Revision, chained_sha256};
use hosho_schema::queries::issue::{GuaranteeDraft, Issued, issue};
use hosho_schema::queries::status::{locate, status};
use hosho_schema::queries::unfinished::{Awaits, take_unfinished, unfinished};

use crate::harness::postgres::{self, Postgres};
use crate::harness::process::eventually;

/// A new database with all migrations.
struct Database {
    pool: Pool,
    url: String,
    _folder: Option<tempfile::TempDir>,
}

impl Database {
    fn postgres() -> Self {
        Self::open(postgres::database("database"), None)
    }

    fn sqlite() -> Self {
        let folder = tempfile::tempdir().unwrap();
        Self::open(format!("sqlite:{}", folder.path().join("hosho.sqlite").display()), Some(folder))
    }

    fn open(url: String, folder: Option<tempfile::TempDir>) -> Self {
        let pool = Pool::open(&url, 8).unwrap();
        db::migrate(&mut pool.get().unwrap()).unwrap();
        Self { pool, url, _folder: folder }
    }

    fn get(&self) -> Connection {
        self.pool.get().unwrap()
    }

    /// Runs statements for which the product has no function.
    fn execute(&self, sql: &str) {
        match self.pool.backend() {
            Backend::Postgres => drop(postgres::Session::connect(&self.url).query(sql)),
            Backend::Sqlite => {
                let script = "import sqlite3, sys; sqlite3.connect(sys.argv[1]).executescript(sys.argv[2])";
                let file = self.url.trim_start_matches("sqlite:");
                let status =
                    std::process::Command::new("/usr/bin/python3").args(["-c", script, file, sql]).status();
                assert!(status.unwrap().success(), "{sql}");
            }
        }
    }

    /// A connection for a thread.
    /// A pool of SQLite has one connection, so each thread needs a pool.
    fn get_when_free(&self) -> Connection {
        match self.pool.backend() {
            Backend::Postgres => self.get(),
            Backend::Sqlite => Pool::open(&self.url, 1).unwrap().get().unwrap(),
        }
    }
}

/// Makes each function a test for each database.
macro_rules! on_both_databases {
    ($($(#[$doc:meta])* fn $name:ident($database:ident: &Database) $body:block)*) => {
        $(
            $(#[$doc])*
            mod $name {
                #[allow(clippy::wildcard_imports, reason = "each test uses the imports of the file")]
                use super::*;

                fn run($database: &Database) $body

                #[test]
                fn on_postgres() {
                    run(&Database::postgres());
                }

                #[test]
                fn on_sqlite() {
                    run(&Database::sqlite());
                }
            }
        )*
    };
}
use on_both_databases;

fn at(seconds: i64) -> NaiveDateTime {
    DateTime::from_timestamp(1_782_864_000 + seconds, 123_456_789).unwrap().naive_utc()
}

fn accepted(id: &str, lines: i64) -> Application {
    Application {
        id: ids::application("portal", id),
        source: "portal".to_owned(),
        upstream_id: id.to_owned(),
        payload_sha256: "00".to_owned(),
        status: Status::Accepted,
        lines,
        issued_lines: 0,
        snapshot: Some(format!("{{\"id\":\"{id}\",  \"name\":\"髙﨑𠮷\"}}")),
        violations: None,
        calculations: format!("[\"{id}\"]"),
        traceparent: Some("00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01".to_owned()),
        received_at: at(0),
        decided_at: at(1),
    }
}

fn rejected(id: &str, violations: &str) -> Application {
    let violations = Some(violations.to_owned());
    Application { status: Status::Rejected, lines: 0, snapshot: None, violations, ..accepted(id, 0) }
}

fn draft(id: &str, line: i64) -> GuaranteeDraft {
    GuaranteeDraft {
        application_id: ids::application("portal", id),
        line,
        product: ProductV1::AdvancePayment,
        medium: MediumV1::Electronic,
        obligee: "hirakawa".to_owned(),
        branch: "31".to_owned(),
        term: "075".to_owned(),
    }
}

#[expect(clippy::unnecessary_wraps, reason = "the signature that `issue` requires")]
fn build(draft: &GuaranteeDraft, sequence: i64) -> Result<(String, String), DbError> {
    let number = format!("{}{}-{sequence:05}M", draft.branch, draft.term);
    Ok((number.clone(), format!("{{\"number\":\"{number}\"}}")))
}

/// Stores an application and issues its lines.
fn issued(connection: &mut Connection, id: &str, lines: i64) -> Vec<Issued> {
    application::insert_new(connection, &[accepted(id, lines)]).unwrap();
    let drafts: Vec<_> = (0..lines).map(|line| draft(id, line)).collect();
    issue(connection, &drafts, at(2), build).unwrap()
}

fn key(guarantee: &str, hash: &str) -> AuthenticationKey {
    AuthenticationKey {
        guarantee_id: guarantee.to_owned(),
        data_key_id: "2026-04".to_owned(),
        sealed: vec![0, 159, 146, 150, 255],
        lookup_hash: hash.to_owned(),
        minted_at: at(3),
    }
}

fn paper(certificate: &str, kind: Kind) -> Document {
    Document {
        revision_id: certificate.to_owned(),
        kind,
        segment: "segments/2026-11-30/0123456789abcdef-00001.seg".to_owned(),
        sha256: "ab".to_owned(),
        size: 12_345,
        identity: "fonts-1".to_owned(),
        stored_at: at(4),
        run_id: String::new(),
        position: 0,
        length: 12_345,
    }
}

fn new_mail(certificate: &str, recipient: &str) -> Mail {
    Mail {
        id: ids::mail(certificate, recipient),
        revision_id: certificate.to_owned(),
        recipient: recipient.to_owned(),
        message_id: format!("<{}@example.jp>", ids::mail(certificate, recipient)),
        date: at(5),
        subject: "発行完了のお知らせ".to_owned(),
        text_body: "本文".to_owned(),
        html_body: "<p>本文</p>".to_owned(),
        state: State::Pending,
        attempts: 0,
        reply: None,
        claimed_at: None,
        settled_at: None,
        created_at: at(5),
    }
}

fn count(connection: &mut Connection, table: &str) -> i64 {
    counts(connection).unwrap().into_iter().find(|(name, _)| *name == table).unwrap().1
}

on_both_databases! {
    fn migrates_reverts_and_migrates_again(database: &Database) {
        let c = &mut database.get();
        assert_eq!(db::pending(c).unwrap(), Vec::<String>::new());
        let mut names = db::revert_all(c).unwrap();
        assert_eq!(names, ["0005_segments", "0004_revision", "0003_changes", "0002_failures", "0001_pipeline"]);
        names.reverse();
        let error = counts(c).unwrap_err();
        assert!(matches!(error, DbError::Statement { .. }) && !error.is_unavailable() && !error.is_contention(), "{error:?}");
        assert_eq!(db::revert_all(c).unwrap(), Vec::<String>::new());
        assert_eq!(db::pending(c).unwrap(), names);
        assert_eq!(db::migrate(c).unwrap(), names);
        assert_eq!(db::migrate(c).unwrap(), Vec::<String>::new());
        assert_eq!(counts(c).unwrap().len(), 25);
    }

    fn processes_may_migrate_concurrently(database: &Database) {
        db::revert_all(&mut database.get()).unwrap();
        let applied: usize = std::thread::scope(|scope| {
            let migrating: Vec<_> = (0..4)
                .map(|_| scope.spawn(|| db::migrate(&mut Pool::open(&database.url, 1).unwrap().get().unwrap()).unwrap().len()))
                .collect();
            migrating.into_iter().map(|thread| thread.join().unwrap()).sum()
        });
        assert_eq!(applied, 5);
    }

    fn migration_renames_certificate_and_keeps_rows(database: &Database) {
        let c = &mut database.get();
        let guarantee = issued(c, "a", 1).remove(0).guarantee.id;
        let first = ids::revision(&guarantee, 0);
        document::insert_new(c, &[paper(&first, Kind::Certificate)]).unwrap();
        mail::insert_new(c, &[new_mail(&first, "a@example.jp")]).unwrap();
        let rows = |c: &mut Connection| {
            (
                revision::by_guarantees(c, &[&guarantee]).unwrap(),
                document::by_revisions(c, &[&first]).unwrap(),
                mail::by_revisions(c, &[&first]).unwrap(),
            )
        };
        let before = rows(c);
        let down = match database.pool.backend() {
            Backend::Postgres => concat!(
                include_str!("../../../schema/migrations/postgres/0005_segments/down.sql"),
                include_str!("../../../schema/migrations/postgres/0004_revision/down.sql")
            ),
            Backend::Sqlite => concat!(
                include_str!("../../../schema/migrations/sqlite/0005_segments/down.sql"),
                include_str!("../../../schema/migrations/sqlite/0004_revision/down.sql")
            ),
        };
        database.execute(&format!("{down} delete from __diesel_schema_migrations where version in ('0004', '0005');"));
        database.execute("update certificate set completed_at = null; update document set certificate_id = certificate_id;");
        assert_eq!(db::migrate(c).unwrap(), ["0004_revision", "0005_segments"]);
        assert_eq!(rows(c), before);
        assert_eq!(before.0[0][0].content_sha256, chained_sha256(None, &before.0[0][0].content));
    }

    fn nested_transactions_roll_back_on_error(database: &Database) {
        let c = &mut database.get();
        let failed: Result<(), DbError> = c.transaction(|c| {
            application::insert_new(c, &[accepted("a", 1)])?;
            Err(DbError::Damaged { what: "deliberate".to_owned() })
        });
        assert!(matches!(failed, Err(DbError::Damaged { .. })));
        assert_eq!(count(c, "application"), 0);

        c.transaction(|c| {
            application::insert_new(c, &[accepted("a", 1)])?;
            let inner: Result<(), DbError> = c.transaction(|c| {
                application::insert_new(c, &[accepted("b", 1)])?;
                Err(DbError::Damaged { what: "deliberate".to_owned() })
            });
            assert!(inner.is_err());
            Ok::<_, DbError>(())
        })
        .unwrap();
        assert_eq!(count(c, "application"), 1);
    }

    fn panic_in_a_transaction_rolls_back(database: &Database) {
        let panicking = || {
            database.get().transaction(|c| {
                application::insert_new(c, &[accepted("a", 1)])?;
                std::panic::resume_unwind(Box::new("deliberate"));
                #[expect(unreachable_code, reason = "gives the closure its type")]
                Ok::<(), DbError>(())
            })
        };
        assert!(std::thread::scope(|scope| scope.spawn(panicking).join()).is_err());
        assert_eq!(count(&mut database.get(), "application"), 0);
        assert_eq!(application::insert_new(&mut database.get(), &[accepted("a", 1)]).unwrap(), 1);
    }
}
