//! mint: creates the authentication key of an electronic guarantee.
//!
//! In: [`MintV1`]. Out: [`RenderV1`]. A paper guarantee has no key and
//! passes through.
//!
//! Idempotent: a key is stored once per guarantee and never replaced, so an amendment keeps it. Of two keys
//! minted at the same time the one inserted first stays; the other was never published. The key leaves this
//! stage sealed, or as a keyed hash that the registry compares with; it is in no message, log or error.

use std::{collections::HashSet, sync::Arc};

use hosho_schema::{
    db::Connection,
    messages::{MediumV1, MintV1, RenderV1, StageMessage as _},
    models::{authentication_key, revision},
};
use tracing::info;

use crate::{
    app::App,
    clock::Clock,
    fault::{Fault, Reason, Result},
    keys::{AuthenticationKey, KeyError, KeyRing},
    pipeline::{
        decode::decode,
        stage::{Item, Stage, Verdict},
    },
};

pub const NAME: &str = MintV1::STAGE;

pub struct Mint {
    clock: Clock,
    keys: Arc<KeyRing>,
}

pub struct Facts {
    number: String,
    due: bool,
}

/// The sealed key to store, if one is due.
pub struct Outcome {
    row: Option<authentication_key::AuthenticationKey>,
}

impl Mint {
    pub(super) fn new(app: &App) -> Self {
        Self { clock: app.clock.clone(), keys: Arc::clone(&app.keys) }
    }
}

impl Stage for Mint {
    const NAME: &'static str = NAME;
    type Job = MintV1;
    type Facts = Facts;
    type Outcome = Outcome;

    fn decode(&self, payload: &[u8]) -> Result<MintV1> {
        decode(payload)
    }

    fn load(&self, db: &mut Connection, items: &[&Item<MintV1>]) -> Result<Vec<Result<Facts, Fault>>> {
        let keys: Vec<(&str, i64)> =
            items.iter().map(|item| (item.job.guarantee.as_str(), item.job.revision)).collect();
        let certificates = revision::by_keys(db, &keys)?;
        let guarantees: Vec<&str> = items.iter().map(|item| item.job.guarantee.as_str()).collect();
        let minted = authentication_key::by_guarantees(db, &guarantees)?.into_iter().flatten();
        let minted: HashSet<String> = minted.map(|key| key.guarantee_id).collect();
        Ok(items
            .iter()
            .zip(certificates)
            .map(|(item, certificate)| {
                let (_, guarantee) = certificate
                    .ok_or_else(|| Fault::missing("certificate of guarantee", &item.job.guarantee))?;
                let due = guarantee.medium == MediumV1::Electronic && !minted.contains(&guarantee.id);
                Ok(Facts { number: guarantee.number, due })
            })
            .collect())
    }

    fn decide(&self, item: &Item<MintV1>, facts: Facts) -> Result<Outcome> {
        if !facts.due {
            return Ok(Outcome { row: None });
        }
        let unusable = |error: KeyError| Fault::from_error(Reason::KeyUnusable, &error);
        let key = AuthenticationKey::mint().map_err(unusable)?;
        let sealed = self.keys.seal(&key, &item.job.guarantee).map_err(unusable)?;
        Ok(Outcome {
            row: Some(authentication_key::AuthenticationKey {
                guarantee_id: item.job.guarantee.clone(),
                data_key_id: sealed.data_key_id,
                sealed: sealed.bytes,
                lookup_hash: self.keys.lookup_hash(&facts.number, &key),
                minted_at: self.clock.now(),
            }),
        })
    }

    fn record(&self, db: &mut Connection, items: &[(&Item<MintV1>, Outcome)]) -> Result<Vec<Verdict>> {
        let rows: Vec<_> = items.iter().filter_map(|(_, outcome)| outcome.row.clone()).collect();
        authentication_key::insert_new(db, &rows)?;
        Ok(items
            .iter()
            .map(|(item, outcome)| {
                if outcome.row.is_some() {
                    info!(
                        guarantee.id = item.job.guarantee,
                        trace.id = item.trace.trace_id(),
                        "Authentication key minted"
                    );
                }
                Verdict::done(vec![item.successor(&RenderV1 {
                    guarantee: item.job.guarantee.clone(),
                    revision: item.job.revision,
                    run: None,
                })])
            })
            .collect())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::stages::harness::{Harness, example, paper};

    #[tokio::test]
    async fn mints_one_key_that_matches_its_hash() {
        let harness = Harness::new();
        let stage = Mint::new(&harness.app);
        let jobs = harness.up_to(NAME, &example()).await;
        let first = harness.run(&stage, &jobs).await;
        let ids: Vec<MintV1> = jobs.iter().map(|job| hosho_schema::messages::decode(job).unwrap()).collect();
        let ids: Vec<&str> = ids.iter().map(|job| job.guarantee.as_str()).collect();
        let stored = |db: &mut Connection| authentication_key::by_guarantees(db, &ids).unwrap();
        let before = stored(&mut harness.app.db.pool().get().unwrap());
        assert_eq!(first, harness.run(&stage, &jobs).await);
        assert!(before == stored(&mut harness.app.db.pool().get().unwrap()), "a second run replaced a key");

        let row = before[0].clone().expect("an electronic guarantee has a key");
        let key = harness.app.keys.open(&row.data_key_id, &row.sealed, ids[0]).unwrap();
        let number = revision::by_keys(&mut harness.app.db.pool().get().unwrap(), &[(ids[0], 0)])
            .unwrap()
            .remove(0)
            .unwrap()
            .1
            .number;
        assert_eq!(harness.app.keys.lookup_hash(&number, &key), row.lookup_hash);
        assert!(!row.sealed.windows(12).any(|window| window == key.expose().as_bytes()));
        for message in first.iter().flat_map(|verdict| verdict.as_ref().unwrap()) {
            assert!(!String::from_utf8_lossy(&message.envelope.payload).contains(key.expose()));
        }
    }

    #[tokio::test]
    async fn mints_no_key_for_paper() {
        let harness = Harness::new();
        let jobs = harness.up_to(NAME, &paper()).await;
        let messages = harness.run_one(&Mint::new(&harness.app), &jobs[0]).await.unwrap();
        assert_eq!(messages[0].envelope.message_type.as_deref(), Some("render.v1"));
        assert_eq!(harness.rows().get("authentication_key"), None);
    }

    #[tokio::test]
    async fn dead_letters_an_unknown_guarantee() {
        let harness = Harness::new();
        let fault = harness
            .run_one(&Mint::new(&harness.app), br#"{"guarantee":"nowhere","revision":0}"#)
            .await
            .unwrap_err();
        assert_eq!(fault.reason, Reason::ReferenceMissing);
    }
}
