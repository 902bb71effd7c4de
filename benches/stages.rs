//! How fast one core is at the hot parts that `validate` and `documents` do not measure: `make bench`.
//!
//! | figure | what is measured |
//! |---|---|
//! | `issue` | 256 applications: numbers allocated, guarantees and certificates made and written in one transaction, in SQLite; rolled back |
//! | `seal` | an authentication key minted, sealed, and hashed for look-up |
//! | `layout` | a notice laid out: lines broken, boxes placed, nothing drawn |
//! | `mail` | the message of a mail with its notice of 42 KB attached, as it goes over the wire |

#![allow(clippy::unwrap_used, reason = "what is measured is known to be right")]

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

/// Takes a batch of bodies through a stage, and keeps what it led to.
struct Through<'a> {
    services: &'a App,
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

/// Everything a stage does with a batch in the database, and what it decides.
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

impl Visitor for Through<'_> {
    type Output = Vec<Vec<u8>>;

    fn visit<S: Stage>(self, stage: S) -> Self::Output {
        let items = items(&stage, &self.bodies);
        self.services.pool.get().unwrap().transaction(|db| Ok::<_, Fault>(work(&stage, db, &items))).unwrap()
    }
}

/// Measures a stage with the same batch again and again.
struct Measured<'a, 'c> {
    services: &'a App,
    bodies: Vec<Vec<u8>>,
    group: &'a mut BenchmarkGroup<'c, WallTime>,
}

/// Why a transaction is rolled back: so that the next one finds what this one found.
struct Again;

impl From<hosho_schema::db::DbError> for Again {
    fn from(error: hosho_schema::db::DbError) -> Self {
        panic!("{error}")
    }
}

impl Visitor for Measured<'_, '_> {
    type Output = ();

    fn visit<S: Stage>(self, stage: S) {
        let items = items(&stage, &self.bodies);
        let mut db = self.services.pool.get().unwrap();
        self.group.throughput(Throughput::Elements(BATCH as u64));
        self.group.bench_function(S::NAME, |bencher| {
            bencher.iter(|| {
                let rolled_back = db.transaction(|db| {
                    black_box(work(&stage, db, &items));
                    Err::<(), _>(Again)
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
    let services = runtime.block_on(async {
        App::open(&Config::load(None, &settings).unwrap(), CancellationToken::new()).unwrap()
    });
    runtime.block_on(services.migrate()).unwrap();
    let bodies = Applications::new(&["07", "31", "35"])
        .next(BATCH)
        .into_iter()
        .map(|application| application.payload)
        .collect();
    let accepted = stages::visit("validate", &services, Through { services: &services, bodies }).unwrap();
    // The events for senders are of another shape.
    let bodies: Vec<Vec<u8>> = accepted
        .into_iter()
        .filter(|body| serde_json::from_slice::<hosho_schema::messages::IssueV1>(body).is_ok())
        .collect();
    assert_eq!(bodies.len(), BATCH);
    stages::visit("issue", &services, Measured { services: &services, bodies, group }).unwrap();
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
        bencher.iter(|| black_box(pdf::page_count(&markup, &fonts, &pictures).unwrap()))
    });
}

fn mail(group: &mut BenchmarkGroup<'_, WallTime>) {
    let letter = MailMessage {
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
    group.bench_function("mail", |bencher| bencher.iter(|| black_box(letter.message().unwrap())));
}

criterion_group!(benches, parts);
criterion_main!(benches);
