//! Lookups by id use the index of the id, whatever their other conditions.

use hosho::{
    audit::Operation,
    clock::Clock,
    jobs::run::{self, Order},
};
use hosho_schema::messages::ChangeKindV1;
use hosho_schema::{
    models::{
        change::{self, Change},
        job_run::{self, Begun, Run},
        run_item,
    },
    queries::run_selection::Selection,
};

use super::*;
use crate::harness::postgres::Session;

/// Guarantees in a round.
const GUARANTEES: i64 = 200;

/// Guarantees in a batch.
const BATCH: usize = 16;

/// Queries an application and its guarantees, in batches like the stages.
fn round(c: &mut Connection, id: &str, run: &Run) {
    let issued = issued(c, id, GUARANTEES);
    let guarantees: Vec<&str> = issued.iter().map(|issued| issued.guarantee.id.as_str()).collect();
    assert!(job_run::advance(c, run, "driver", &guarantees, &[], false).unwrap());
    let changes: Vec<Change> = guarantees.iter().map(|guarantee| amendment(guarantee)).collect();
    change::insert_missing(c, &changes).unwrap();
    for issued in issued.chunks(BATCH) {
        let certificates: Vec<&str> = issued.iter().map(|issued| issued.revision.id.as_str()).collect();
        let guarantees: Vec<&str> = issued.iter().map(|issued| issued.guarantee.id.as_str()).collect();
        let mails: Vec<Mail> =
            certificates.iter().map(|certificate| new_mail(certificate, "a@example.jp")).collect();
        mail::insert_new(c, &mails).unwrap();
        let ids: Vec<String> =
            certificates.iter().map(|certificate| ids::mail(certificate, "a@example.jp")).collect();
        let ids: Vec<&str> = ids.iter().map(String::as_str).collect();
        assert_eq!(mail::claim(c, &ids, at(6), at(0)).unwrap().len(), ids.len());
        let settlements: Vec<Settlement> = ids
            .iter()
            .map(|id| Settlement { id: (*id).to_owned(), outcome: Outcome::Accepted, reply: None })
            .collect();
        assert_eq!(mail::settle(c, &settlements, at(7)).unwrap(), ids.len());
        assert_eq!(mail::adopt_orphans(c, &ids, at(8)).unwrap().len(), 0);
        assert_eq!(mail::release(c, &ids).unwrap() + mail::reopen(c, &ids).unwrap(), 0);
        assert!(!mail::resolve(c, ids[0], State::Unknown, State::Accepted, "250 ok", at(8)).unwrap());
        assert_eq!(revision::set_completed(c, &certificates, at(8)).unwrap(), certificates.len());

        let settlements: Vec<change::Settlement> =
            guarantees.iter().map(|guarantee| without_effect(guarantee)).collect();
        change::settle(c, &settlements, at(9)).unwrap();
        assert_eq!(run_item::under_way(c, &run.id, &guarantees).unwrap().len(), guarantees.len());
        let made = |guarantee: &&str| run_item::Made {
            run_id: run.id.clone(),
            guarantee_id: (*guarantee).to_owned(),
            outcome: run_item::Outcome::Reissued,
            revisions: Some((0, 0)),
        };
        run_item::set_outcome(c, &guarantees.iter().map(made).collect::<Vec<_>>(), at(10)).unwrap();
        assert_eq!(run_item::settle_completed(c, &run.id, false, at(11)).unwrap(), guarantees.len());
        assert_eq!(run_item::set_failed(c, &run.id, &[(guarantees[0], "a dead letter")], at(12)).unwrap(), 0);
    }
}

fn amendment(guarantee: &str) -> Change {
    Change {
        id: format!("change of {guarantee}"),
        source: "portal".to_owned(),
        upstream_id: guarantee.to_owned(),
        payload_sha256: "00".to_owned(),
        kind: ChangeKindV1::Amendment,
        number: Some("31075-00001M".to_owned()),
        guarantee_id: Some(guarantee.to_owned()),
        version: Some(1),
        urgent: false,
        state: change::State::Pending,
        snapshot: Some("{}".to_owned()),
        foreseen: Some("{}".to_owned()),
        violations: None,
        calculations: "[]".to_owned(),
        traceparent: None,
        received_at: at(4),
        settled_at: None,
        revision: None,
    }
}

fn without_effect(guarantee: &str) -> change::Settlement {
    change::Settlement {
        id: format!("change of {guarantee}"),
        state: change::State::Unchanged,
        revision: None,
        violations: None,
    }
}

/// Scans of each partial index. Runs are excluded: there are always few.
fn partial_index_scans(sql: &mut Session) -> BTreeMap<String, usize> {
    // A connection reports its statistics at the latest when it closes.
    eventually("the connections are closed", Duration::from_secs(20), || {
        let others = "select count(*)::text from pg_stat_activity where datname = current_database() and pid <> pg_backend_pid()
                      and backend_type = 'client backend'";
        (sql.query(others)[0][0].as_deref() == Some("0")).then_some(())
    });
    let rows = sql.query(
        "select s.indexrelname, s.idx_scan::text from pg_stat_user_indexes s join pg_index i on i.indexrelid = s.indexrelid
         where i.indpred is not null and s.relname <> 'job_run'",
    );
    rows.into_iter()
        .map(|row| (row[0].clone().unwrap(), row[1].as_deref().unwrap().parse().unwrap()))
        .collect()
}

/// Lookups by id must not use a partial index.
/// Its scan visits every row that matched since the last vacuum, at an estimated cost near zero.
#[test]
fn lookups_by_id_scan_no_partial_index() {
    let url = Database::postgres().url;
    let mut sql = Session::connect(&url);
    let connect = || Pool::open(&url, 1).unwrap().get().unwrap();
    let clock = Clock::fixed(at(3));
    let operation = Operation::new(&clock, "reissue", "hanako", "test");
    let order = Order { selection: Selection::All, rate: 10, slot: None };
    let Begun::Ours(run) = run::begin(&mut connect(), &operation, &order).unwrap() else {
        panic!("another run exists")
    };
    let run_round = |id: &str| {
        let c = &mut connect();
        let run = job_run::lease(c, &run.id, "driver", at(3), at(1_000)).unwrap().unwrap();
        round(c, id, &run);
    };
    run_round("before");
    sql.query("vacuum (analyze)");
    let before = partial_index_scans(&mut sql);
    run_round("after");
    let mut expected = before.clone();
    // Drivers query items in flight without ids.
    *expected.get_mut("run_item_queued").unwrap() += usize::try_from(GUARANTEES).unwrap().div_ceil(BATCH);
    let after = partial_index_scans(&mut sql);
    assert_eq!(after, expected, "{before:?} before");
}
