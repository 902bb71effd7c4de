//! Hot paths that `validate` and `documents` do not measure (`make bench`).
//!
//! Each runs on one core.
//!
//! | benchmark | measures |
//! |---|---|
//! | `issue` | 256 applications issued in one SQLite transaction, which is rolled back |
//! | `seal` | an authentication key minted, sealed, and hashed for lookup |
//! | `layout` | a notice laid out: lines broken, boxes placed, nothing drawn |
//! | `mail` | the MIME message of a mail with a notice of 42 KB attached |

#![allow(clippy::unwrap_used, reason = "a failure aborts the benchmark")]

#[path = "system/applications.rs"]
mod applications;
mod choices;

use std::hint::black_box;

use applications::Applications;
use chrono::NaiveDateTime;
use criterion::{
    BenchmarkGroup, Criterion, Throughput, criterion_group, criterion_main, measurement::WallTime,
};
use hosho::{
    app::App,
    broker::Lane,
    config::Config,
    documents::{notice::NoticeContext, templates::Templates},
    fault::Fault,
    keys::{AuthenticationKey, KeyRing},
    mail::{Attachment, MailMessage, Sender},
    pdf::{self, FontPaths, Fonts, Pictures},
    pipeline::stage::{Item, Stage, Verdict},
    stages::{self, Visitor},
    telemetry::Traceparent,
};
use hosho_schema::{ids, snapshots::Certificate};
use tokio::runtime::Runtime;
use tokio_util::sync::CancellationToken;

/// Applications of a batch.
const BATCH: usize = 256;

/// Runs one batch through a stage and commits; returns the payloads to publish.
struct RunStage<'a> {
    app: &'a App,
    bodies: Vec<Vec<u8>>,
}

fn items<S: Stage>(stage: &S, bodies: &[Vec<u8>]) -> Vec<Item<S::Job>> {
    let item = |body: &Vec<u8>| Item {
        job: stage.decode(body).unwrap_or_else(|fault| panic!("{}", fault.text)),
        lane: Lane::Live,
        correlation_id: None,
        trace: Traceparent::derived("bench"),
        failed_id: None,
        replayed: false,
    };
    bodies.iter().map(item).collect()
}

/// Loads, decides and records a batch; returns the payloads to publish.
fn work<S: Stage>(stage: &S, db: &mut hosho_schema::db::Connection, items: &[Item<S::Job>]) -> Vec<Vec<u8>> {
    let borrowed: Vec<&Item<S::Job>> = items.iter().collect();
    let facts = stage.load(db, &borrowed).unwrap_or_else(|fault| panic!("{}", fault.text));
    let rows: Vec<_> = items
        .iter()
        .zip(facts)
        .map(|(item, facts)| (item, stage.decide(item, facts.unwrap()).unwrap()))
        .collect();
    let verdicts = stage.record(db, &rows).unwrap_or_else(|fault| panic!("{}", fault.text));
    let publish = |verdict| match verdict {
        Verdict::Done { publish } => publish,
        other => panic!("{other:?}"),
    };
    verdicts.into_iter().flat_map(publish).map(|outgoing| outgoing.envelope.payload).collect()
}

impl Visitor for RunStage<'_> {
    type Output = Vec<Vec<u8>>;

    fn visit<S: Stage>(self, stage: S) -> Self::Output {
        let items = items(&stage, &self.bodies);
        self.app.db.pool().get().unwrap().transaction(|db| Ok::<_, Fault>(work(&stage, db, &items))).unwrap()
    }
}

/// Measures a stage with the same batch, rolled back each time.
struct MeasureStage<'a, 'c> {
    app: &'a App,
    bodies: Vec<Vec<u8>>,
    group: &'a mut BenchmarkGroup<'c, WallTime>,
}

/// Rolls a transaction back, so that the next one starts from the same rows.
struct RollBack;

impl From<hosho_schema::db::DbError> for RollBack {
    fn from(error: hosho_schema::db::DbError) -> Self {
        panic!("{error}")
    }
}

impl Visitor for MeasureStage<'_, '_> {
    type Output = ();

    fn visit<S: Stage>(self, stage: S) {
        let items = items(&stage, &self.bodies);
        let mut db = self.app.db.pool().get().unwrap();
        self.group.throughput(Throughput::Elements(BATCH as u64));
        self.group.bench_function(S::NAME, |bencher| {
            bencher.iter(|| {
                let rolled_back = db.transaction(|db| {
                    black_box(work(&stage, db, &items));
                    Err::<(), _>(RollBack)
                });
                assert!(rolled_back.is_err());
            });
        });
    }
}

fn parts(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("stages");
    issue(&mut group);
    group.throughput(Throughput::Elements(1));
    seal(&mut group);
    layout(&mut group);
    mail(&mut group);
    group.finish();
}

fn issue(group: &mut BenchmarkGroup<'_, WallTime>) {
    let folder = tempfile::tempdir().unwrap();
    let below = |name: &str| folder.path().join(name).display().to_string();
    let settings = [
        ("database.url", format!("sqlite:{}", below("hosho.sqlite"))),
        ("documents.url", format!("file:{}", below("documents"))),
        ("keys.file", below("hosho.keys")),
        ("keys.create", "true".to_owned()),
        ("mail.folder", below("mail")),
    ];
    let runtime = Runtime::new().unwrap();
    let app = runtime.block_on(async {
        App::open(
            &Config::load(None, &settings.map(|(key, value)| (key, Some(value)))).unwrap(),
            CancellationToken::new(),
        )
        .unwrap()
    });
    runtime.block_on(app.migrate()).unwrap();
    let bodies = Applications::new(&["07", "31", "35"])
        .next(BATCH)
        .into_iter()
        .map(|application| application.payload)
        .collect();
    let accepted = stages::visit("validate", &app, RunStage { app: &app, bodies }).unwrap();
    // Excludes the events for senders.
    let bodies: Vec<Vec<u8>> = accepted
        .into_iter()
        .filter(|body| serde_json::from_slice::<hosho_schema::messages::IssueV1>(body).is_ok())
        .collect();
    assert_eq!(bodies.len(), BATCH);
    stages::visit("issue", &app, MeasureStage { app: &app, bodies, group }).unwrap();
}

fn seal(group: &mut BenchmarkGroup<'_, WallTime>) {
    let ring = KeyRing::parse(&KeyRing::generate().unwrap(), "bench").unwrap();
    let guarantee = ids::guarantee("bench", 0);
    group.bench_function("seal", |bencher| {
        bencher.iter(|| {
            let key = AuthenticationKey::mint().unwrap();
            black_box((ring.seal(&key, &guarantee).unwrap(), ring.lookup_hash("31075-00001M", &key)))
        });
    });
}

fn layout(group: &mut BenchmarkGroup<'_, WallTime>) {
    let fonts = Fonts::load(&FontPaths::system().unwrap()).unwrap();
    let certificate: Certificate = serde_json::from_str(include_str!("certificate.json")).unwrap();
    let context =
        NoticeContext::new(&certificate, "CDEF37wxyzHK", "https://registry.example.jp/certificates");
    let markup = Templates::load(None).unwrap().render("notice/notice", &context).unwrap();
    let pictures = Pictures::new();
    group.bench_function("layout", |bencher| {
        bencher.iter(|| black_box(pdf::page_count(&markup, &fonts, &pictures).unwrap()));
    });
}

fn mail(group: &mut BenchmarkGroup<'_, WallTime>) {
    let mail = MailMessage {
        message_id: "bench@surety.example.jp".to_owned(),
        date: NaiveDateTime::default(),
        from: Sender {
            name: Some("やまなみ建設保証株式会社".to_owned()),
            address: "noreply@surety.example.jp".into(),
        },
        to: "keiri@bench.example.com".into(),
        subject: "保証証書発行のお知らせ（31075-00001M）".to_owned(),
        text: "保証証書を発行しました。\n".repeat(20),
        html: "<p>保証証書を発行しました。</p>\n".repeat(20),
        attachments: vec![Attachment {
            file_name: "31075-00001M_notice.pdf".to_owned(),
            media_type: "application/pdf".to_owned(),
            bytes: (0..42_000_u32)
                .map(|at| (at.wrapping_mul(2_654_435_761) >> 24).to_le_bytes()[0])
                .collect(),
        }],
        trace_id: None,
    };
    group.bench_function("mail", |bencher| bencher.iter(|| black_box(mail.message().unwrap())));
}

criterion_group!(benches, parts);
criterion_main!(benches);
