//! Dependencies for tests of stages: SQLite, temporary folders, a fixed time.

use std::{
    collections::BTreeMap,
    sync::{Arc, OnceLock},
};

use chrono::{NaiveDate, NaiveDateTime};
use hosho_schema::{
    db,
    messages::{self, Message},
    models,
};
use tokio_util::sync::CancellationToken;

use crate::{
    app::{self, App},
    broker::{Destination, Lane, Outgoing},
    clock::Clock,
    config::Config,
    db::Db,
    documents::{
        renderer::DocumentRenderer,
        store::{DocumentStore, StoreSettings},
        templates::Templates,
    },
    fault::Fault,
    keys::KeyRing,
    mail::{Mailer, Sender, delivery::MailDelivery},
    pdf::{FontPaths, Fonts, Pictures},
    permit::Permit,
    pipeline::stage::{Item, Stage, Verdict},
    telemetry::Traceparent,
};

/// The dependencies of a stage, and how its batches are run.
pub(super) struct Harness {
    pub(super) app: App,
    pub(super) permit: Permit,
    pub(super) lane: Lane,
    folder: tempfile::TempDir,
}

/// 2026-12-01 12:00 in Tokyo.
pub(super) fn now() -> NaiveDateTime {
    NaiveDate::from_ymd_opt(2026, 12, 1).unwrap().and_hms_opt(3, 0, 0).unwrap()
}

impl Harness {
    pub(super) fn new() -> Self {
        static RENDERER: OnceLock<Arc<DocumentRenderer>> = OnceLock::new();
        let renderer = RENDERER.get_or_init(|| {
            let fonts = Fonts::load(&FontPaths::system().unwrap()).unwrap();
            Arc::new(DocumentRenderer::new(
                Arc::new(Templates::load(None).unwrap()),
                Arc::new(fonts),
                Pictures::new(),
            ))
        });
        let folder = tempfile::tempdir().unwrap();
        let path = |name: &str| folder.path().join(name);
        let config = Config::load(None, &[]).unwrap();
        let pool = db::Pool::open(&format!("sqlite:{}", path("hosho.sqlite").display()), 1).unwrap();
        db::migrate(&mut pool.get().unwrap()).unwrap();
        let db = Db::new(pool);
        let (clock, keys) =
            (Clock::fixed(now()), Arc::new(KeyRing::load_or_create(&path("hosho.keys")).unwrap()));
        let url = format!("file:{}", path("documents").display());
        let settings = StoreSettings { url, previous_url: None, credentials: None };
        let documents = DocumentStore::open(&settings, Arc::clone(&keys), &clock).unwrap();
        let app = App {
            data: Arc::new(app::data(&config).unwrap()),
            keys,
            renderer: Arc::clone(renderer),
            templates: Arc::clone(renderer.templates()),
            mail_delivery: MailDelivery {
                mailer: Mailer::folder(path("mail")).unwrap(),
                from: Sender { name: None, address: "hosho@example.jp".into() },
                attach_notice: true,
                orphan_after: chrono::TimeDelta::seconds(60),
                resend_after: chrono::TimeDelta::seconds(1_800),
                connections: 2,
                db: db.clone(),
                documents: documents.clone(),
                clock: clock.clone(),
                stop: CancellationToken::new(),
            },
            registry_url: config.registry.url,
            clock,
            db,
            documents,
        };
        Self { app, permit: Permit::unlimited(), lane: Lane::Live, folder }
    }

    /// Runs a stage on payloads in one batch, as the runner does; one verdict each.
    pub(super) async fn run<S: Stage>(
        &self,
        stage: &S,
        payloads: &[Vec<u8>],
    ) -> Vec<Result<Vec<Outgoing>, Fault>> {
        let trace = Traceparent::parse("00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01").unwrap();
        let mut verdicts: Vec<Option<Result<Vec<Outgoing>, Fault>>> = payloads.iter().map(|_| None).collect();
        let (mut places, mut items) = (Vec::new(), Vec::new());
        for (place, payload) in payloads.iter().enumerate() {
            match stage.decode(payload) {
                Ok(job) => {
                    places.push(place);
                    items.push(Item::new(job, self.lane, Some("application".to_owned()), trace.clone()));
                }
                Err(fault) => verdicts[place] = Some(Err(fault)),
            }
        }
        let all: Vec<&Item<S::Job>> = items.iter().collect();
        let facts = self.app.db.pool().get().unwrap().transaction(|db| stage.load(db, &all)).unwrap();
        let (mut decided, mut outcomes) = (Vec::new(), Vec::new());
        for (index, facts) in facts.into_iter().enumerate() {
            match facts.and_then(|facts| stage.decide(&items[index], facts)) {
                Ok(outcome) => {
                    decided.push(index);
                    outcomes.push(outcome);
                }
                Err(fault) => verdicts[places[index]] = Some(Err(fault)),
            }
        }
        let mut rows = Vec::new();
        let mut recorded = Vec::new();
        for (index, acted) in decided.into_iter().zip(stage.act(outcomes, &self.permit).await) {
            match acted {
                Ok(outcome) => {
                    recorded.push(index);
                    rows.push((&items[index], outcome));
                }
                Err(fault) => verdicts[places[index]] = Some(Err(fault)),
            }
        }
        let settled = self.app.db.pool().get().unwrap().transaction(|db| stage.record(db, &rows)).unwrap();
        assert_eq!(settled.len(), rows.len(), "one verdict per item");
        for (index, verdict) in recorded.into_iter().zip(settled) {
            verdicts[places[index]] = Some(match verdict {
                Verdict::Done { publish } => Ok(publish),
                Verdict::InDoubt { fault, .. } | Verdict::Failed { fault, .. } => Err(fault),
            });
        }
        verdicts.into_iter().map(Option::unwrap).collect()
    }

    /// Runs a stage on one payload.
    pub(super) async fn run_one<S: Stage>(&self, stage: &S, payload: &[u8]) -> Result<Vec<Outgoing>, Fault> {
        self.run(stage, &[payload.to_vec()]).await.remove(0)
    }

    /// Runs the stages before `stage`, and returns the payloads that arrive there.
    pub(super) async fn up_to(&self, stage: &str, application: &[u8]) -> Vec<Vec<u8>> {
        let mut payloads = vec![application.to_vec()];
        macro_rules! through {
            ($($module:ident: $type:ident),*) => {
                $(
                    if stage == super::$module::NAME {
                        return payloads;
                    }
                    let verdicts = self.run(&super::$module::$type::new(&self.app), &payloads).await;
                    payloads = verdicts.into_iter().flat_map(Result::unwrap).filter(is_work).map(|message| message.envelope.payload).collect();
                )*
            };
        }
        through!(validate: Validate, issue: Issue, mint: Mint, render: Render, dispatch: Dispatch);
        payloads
    }

    /// Rows of every table that has any.
    pub(super) fn rows(&self) -> BTreeMap<&'static str, i64> {
        let counts = models::counts(&mut self.app.db.pool().get().unwrap()).unwrap();
        counts.into_iter().filter(|(_, count)| *count > 0).collect()
    }

    /// Files in a folder, such as `mail`.
    pub(super) fn files(&self, name: &str) -> usize {
        std::fs::read_dir(self.folder.path().join(name)).map_or(0, Iterator::count)
    }
}

fn is_work(message: &Outgoing) -> bool {
    matches!(message.destination, Destination::Stage(..))
}

/// The first application: two electronic products, and a mail is wanted.
pub(super) fn example() -> Vec<u8> {
    include_bytes!("../../examples/applications.jsonl").split(|byte| *byte == b'\n').next().unwrap().to_vec()
}

/// The first application of the examples with one product on paper.
pub(super) fn paper() -> Vec<u8> {
    let mut application: serde_json::Value = serde_json::from_slice(&example()).unwrap();
    application["id"] = "on-paper".into();
    let product = &mut application["products"][0];
    product["medium"] = "paper".into();
    application["products"] = serde_json::Value::Array(vec![product.clone()]);
    application.to_string().into_bytes()
}

/// The only event of a type among messages.
pub(super) fn event<M: Message>(messages: &[Outgoing]) -> M {
    let mut found =
        messages.iter().filter(|message| message.envelope.message_type.as_deref() == Some(M::TYPE));
    let event = found.next().unwrap_or_else(|| panic!("no {}", M::TYPE));
    assert!(found.next().is_none(), "more than one {}", M::TYPE);
    messages::decode(&event.envelope.payload).unwrap()
}
