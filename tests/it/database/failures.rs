//! Failed messages, replays, audit entries, pauses and heartbeats.

use std::collections::BTreeMap;

use hosho::dead_letters::{LeftOut, LeftOutReason, planned};
use hosho_schema::models::audit::{self, Entry};
use hosho_schema::models::failed_message::{
    self, Attempt, DeadLetter, Filter, OPEN, Origin, Progress, Recorded, State, record,
};
use hosho_schema::models::failure_note::{self, FailureNote};
use hosho_schema::models::replay::{self, Replay};
use hosho_schema::models::stage_control::{self, StageControl};
use hosho_schema::models::worker::{self, Worker, WorkerStage};

use super::{Connection, Database, TimeDelta, at, micros, on_both_databases};

/// A dead letter of a message that failed at a second; `cause` is the fingerprint.
fn dead_letter(message: &str, cause: &str, failed: i64) -> DeadLetter {
    DeadLetter {
        stage: "issue".to_owned(),
        message_id: message.to_owned(),
        message_type: Some("issue.v1".to_owned()),
        correlation_id: None,
        traceparent: None,
        payload: b"\x00\xff{}".to_vec(),
        payload_sha256: "ab".to_owned(),
        headers: "{}".to_owned(),
        origin: Origin::Handler,
        code: "data.missing".to_owned(),
        text: format!("branch {message} is 100% gone_"),
        fingerprint: cause.to_owned(),
        attempts: 1,
        first_failed_at: at(0),
        failed_at: at(failed),
        earlier: vec![Attempt { at: at(0), code: "mail.deferred".to_owned(), text: None }],
        replay_id: None,
        is_copy: false,
    }
}

fn state(c: &mut Connection, dead_letter: &DeadLetter) -> (State, i64) {
    let row = failed_message::by_ids(c, &[&dead_letter.id()]).unwrap().remove(0).unwrap();
    (row.state, row.letters)
}

fn begin(c: &mut Connection, id: &str, from: &[State]) -> Option<Replay> {
    let new = Replay {
        id: id.to_owned(),
        state: replay::State::Running,
        selection: "{}".to_owned(),
        total: 0,
        cutoff: at(100),
        canary: 1,
        rate: 10,
        reason: "fixed".to_owned(),
        actor: "hanako".to_owned(),
        created_at: at(100),
        driver: None,
        leased_until: None,
        note: None,
        resolved: None,
        failed_again: None,
        finished_at: None,
    };
    replay::create(c, &new, &Filter::default(), from).unwrap().map(|(replay, _)| replay)
}

on_both_databases! {
    fn duplicate_dead_letters_count_as_one_attempt(database: &Database) {
        let c = &mut database.get();
        let first = dead_letter("a", "x", 1);
        let recorded = |new, again, known| Recorded { new, again, known };
        assert_eq!(record(c, &[first.clone(), dead_letter("b", "x", 1)], at(2)).unwrap(), recorded(2, 0, 0));
        assert_eq!(record(c, &[first.clone(), first.clone()], at(3)).unwrap(), recorded(0, 0, 2));
        let later = DeadLetter { failed_at: at(5), text: "other".to_owned(), ..first.clone() };
        assert_eq!(record(c, &[later.clone(), first.clone(), later.clone()], at(6)).unwrap(), recorded(0, 1, 2));
        // Other content under the same message id is another message.
        let other = DeadLetter { payload: b"{}".to_vec(), payload_sha256: "cd".to_owned(), ..first.clone() };
        assert_eq!(record(c, &[other], at(6)).unwrap(), recorded(1, 0, 0));
        let row = failed_message::by_ids(c, &[&first.id()]).unwrap().remove(0).unwrap();
        assert_eq!((row.letters, row.text.as_str(), row.payload.as_slice()), (2, "other", &b"\x00\xff{}"[..]));
        assert_eq!((row.first_failed_at, row.last_failed_at), (micros(at(0)), micros(at(5))));
        let attempts = failed_message::attempts(c, &[&first.id(), "nothing"]).unwrap();
        let codes: Vec<_> = attempts[0].iter().map(|attempt| (attempt.code.as_str(), attempt.text.is_some())).collect();
        assert_eq!(codes, [("mail.deferred", false), ("data.missing", true), ("data.missing", true)]);
        assert_eq!(attempts[1], []);
    }

    fn older_dead_letters_leave_a_resolved_message_resolved(database: &Database) {
        let c = &mut database.get();
        let (a, b) = (dead_letter("a", "x", 1), dead_letter("b", "x", 1));
        record(c, &[a.clone(), b.clone()], at(2)).unwrap();
        failed_message::change(c, &[&b.id()], &OPEN, State::Discarded, at(3)).unwrap();
        assert_eq!(failed_message::resolve(c, &[&a.id(), &b.id(), "unknown"], at(10)).unwrap(), 1);
        assert_eq!((state(c, &a).0, state(c, &b).0), (State::Resolved, State::Discarded));
        // A dead letter from before the resolution, and one from after it.
        record(c, &[DeadLetter { failed_at: at(9), ..a.clone() }], at(11)).unwrap();
        assert_eq!(state(c, &a), (State::Resolved, 2));
        record(c, &[DeadLetter { failed_at: at(12), ..a.clone() }, DeadLetter { failed_at: at(12), ..b.clone() }], at(13)).unwrap();
        assert_eq!((state(c, &a).0, state(c, &b).0), (State::Failed, State::Failed));
        assert_eq!(failed_message::unsettled(c, &[&a.id(), &b.id(), "unknown"], at(20)).unwrap().len(), 2);
    }

    fn undated_copy_of_an_open_message_is_known(database: &Database) {
        let c = &mut database.get();
        let a = dead_letter("a", "x", 1);
        let copy = |failed_at: i64, is_copy| DeadLetter { failed_at: at(failed_at), is_copy, ..a.clone() };
        record(c, std::slice::from_ref(&a), at(2)).unwrap();
        assert_eq!(record(c, &[copy(3, true)], at(3)).unwrap().known, 1);
        assert_eq!(record(c, &[copy(4, false)], at(4)).unwrap().again, 1);
        failed_message::change(c, &[&a.id()], &OPEN, State::Discarded, at(5)).unwrap();
        assert_eq!(record(c, &[copy(6, true)], at(6)).unwrap().again, 1);
        assert_eq!(state(c, &a), (State::Failed, 3));
    }

    fn filters_find_matching_messages(database: &Database) {
        let c = &mut database.get();
        let dead_letters = [dead_letter("a", "x", 1), dead_letter("b", "x", 2), DeadLetter { stage: "mint".to_owned(), ..dead_letter("c", "y", 3) }];
        record(c, &dead_letters, at(9)).unwrap();
        let ids = |c: &mut Connection, filter: Filter| -> Vec<String> {
            let rows = failed_message::list(c, &filter, 10, None).unwrap();
            assert_eq!(failed_message::select(c, &filter).unwrap().len(), rows.len());
            rows.into_iter().map(|row| row.message_id).collect()
        };
        let all = Filter::default();
        assert_eq!(ids(c, all.clone()), ["c", "b", "a"]);
        assert_eq!(ids(c, Filter { stages: vec!["mint".to_owned()], ..all.clone() }), ["c"]);
        assert_eq!(ids(c, Filter { groups: vec!["x".to_owned()], states: OPEN.to_vec(), ..all.clone() }), ["b", "a"]);
        assert_eq!(ids(c, Filter { since: Some(at(2)), until: Some(at(3)), ..all.clone() }), ["b"]);
        for (text, found) in [("b is 100%", 1), ("100% gone_", 3), ("100%%", 0), ("gone!", 0), ("branch_", 0), ("BRANCH", 0), ("Gone", 0)] {
            assert_eq!(ids(c, Filter { text: Some(text.to_owned()), ..all.clone() }).len(), found, "{text}");
        }
        let groups = failed_message::groups(c, &all).unwrap();
        let found: Vec<_> = groups.iter().map(|group| (group.fingerprint.as_str(), group.count(), group.stage.as_str())).collect();
        assert_eq!(found, [("x", 2, "issue"), ("y", 1, "mint")]);
        assert_eq!((groups[0].first_failed_at, groups[0].last_failed_at), (micros(at(0)), micros(at(2))));
        assert_eq!(failed_message::groups_by_prefix(c, "x").unwrap(), ["x"]);
        assert_eq!(failed_message::by_prefix(c, "%").unwrap().len(), 0, "no identifier contains a wildcard");
        let page = |c: &mut Connection, row: &failed_message::FailedMessage| {
            failed_message::list(c, &all, 1, Some((row.last_failed_at, &row.id))).unwrap()
        };
        let latest = failed_message::list(c, &all, 1, None).unwrap().remove(0);
        // A page follows its cursor, whatever fails meanwhile.
        record(c, &[dead_letter("same time", "y", 3), dead_letter("later", "y", 4)], at(9)).unwrap();
        let mut rows = vec![latest];
        while let Some(next) = page(c, rows.last().unwrap()).pop() {
            rows.push(next);
        }
        let seen: Vec<&str> = rows.iter().map(|row| row.message_id.as_str()).filter(|id| *id != "same time").collect();
        assert_eq!(seen, ["c", "b", "a"]);
        let rest = failed_message::list(c, &all, 10, None).unwrap();
        assert_eq!(rest.iter().skip_while(|row| **row != rows[0]).count(), rows.len(), "rows of one time by identifier");
    }

    fn replay_holds_its_messages_exclusively(database: &Database) {
        let c = &mut database.get();
        let begun = |second, dead_letter| DeadLetter { first_failed_at: at(second), ..dead_letter };
        let dead_letters = [begun(0, dead_letter("a", "x", 1)), begun(1, dead_letter("b", "x", 2)), dead_letter("late", "x", 200)];
        record(c, &dead_letters, at(9)).unwrap();
        let replay = begin(c, "r1", &OPEN).unwrap();
        assert_eq!((replay.total, replay.state), (2, replay::State::Running), "a message that failed after the cut-off is excluded");
        assert_eq!(begin(c, "r2", &OPEN), None);
        let next: Vec<_> = failed_message::unsent(c, "r1", 10).unwrap().into_iter().map(|row| row.message_id).collect();
        assert_eq!(next, ["a", "b"]);
        failed_message::mark_sent(c, "r1", &[&dead_letters[0].id()], at(101)).unwrap();
        let progress = |waiting, under_way, resolved, failed_again| Progress { waiting, under_way, resolved, failed_again, taken_out: 0 };
        assert_eq!(failed_message::progress(c, "r1").unwrap(), progress(1, 1, 0, 0));
        // An older copy in flight fails: no result of the replay. The replayed message fails: a result.
        record(c, &[DeadLetter { failed_at: at(102), ..dead_letters[0].clone() }], at(103)).unwrap();
        assert_eq!(state(c, &dead_letters[0]).0, State::Replaying);
        record(c, &[DeadLetter { failed_at: at(104), replay_id: Some("r1".to_owned()), ..dead_letters[0].clone() }], at(105)).unwrap();
        assert_eq!(failed_message::progress(c, "r1").unwrap(), progress(1, 0, 0, 1));
        failed_message::resolve(c, &[&dead_letters[1].id()], at(106)).unwrap();
        assert_eq!(failed_message::progress(c, "r1").unwrap(), progress(0, 0, 1, 1));
        assert_eq!(failed_message::last_settled(c, "r1", 50).unwrap(), [None, Some("x".to_owned())]);
        assert!(replay::finish(c, "r1", replay::State::Complete, None, at(110)).unwrap());
        assert!(!replay::finish(c, "r1", replay::State::Aborted, None, at(111)).unwrap());
        let over = replay::by_id(c, "r1").unwrap().unwrap();
        assert_eq!((over.state, over.resolved, over.failed_again), (replay::State::Complete, Some(1), Some(1)));
        // Another replay may take messages that failed again and, if forced, resolved ones.
        assert_eq!(begin(c, "r3", &[State::Resolved, State::Failed]).unwrap().total, 1);
        assert!(replay::finish(c, "r3", replay::State::Aborted, Some("wrong"), at(120)).unwrap());
        assert_eq!(state(c, &dead_letters[1]).0, State::Failed, "released");
        let replays = replay::list(c, 10, None).unwrap();
        assert_eq!(replay::list(c, 10, Some((replays[0].created_at, &replays[0].id))).unwrap(), replays[1..]);
        assert_eq!(replays.len(), 2);
        assert_eq!((replay::by_prefix(c, "r3").unwrap().len(), replay::by_prefix(c, "r").unwrap().len()), (1, 2));
        assert_eq!((replay::by_prefix(c, "%").unwrap().len(), failed_message::by_prefix(c, "_").unwrap().len()), (0, 0));
    }

    fn held_messages_are_taken_by_no_operation(database: &Database) {
        let c = &mut database.get();
        let [a, b, d] = ["a", "b", "d"].map(|message| dead_letter(message, "x", 1));
        record(c, &[a.clone(), b.clone(), d.clone()], at(9)).unwrap();
        assert_eq!(begin(c, "r1", &OPEN).unwrap().total, 3);
        record(c, &[DeadLetter { failed_at: at(104), replay_id: Some("r1".to_owned()), ..a.clone() }], at(105)).unwrap();
        failed_message::resolve(c, &[&b.id()], at(106)).unwrap();
        assert_eq!((state(c, &a).0, state(c, &b).0), (State::FailedAgain, State::Resolved));
        for paused in [false, true] {
            assert_eq!(replay::set_paused(c, "r1", paused, None).unwrap(), paused);
            assert_eq!(begin(c, "r2", &[State::Failed, State::FailedAgain, State::Resolved]), None);
            assert!(failed_message::change(c, &[&a.id()], &OPEN, State::Discarded, at(107)).unwrap().is_empty());
            let filter = Filter { ids: vec![a.id(), b.id()], free: true, ..Filter::default() };
            assert_eq!(failed_message::counts(c, &filter).unwrap(), BTreeMap::new());
            let planned = planned(c, &filter, &OPEN).unwrap();
            let held = LeftOut { id: a.id(), why: LeftOutReason::Held };
            let resolved = LeftOut { id: b.id(), why: LeftOutReason::State(State::Resolved) };
            assert_eq!((planned.messages.len(), planned.left_out.len()), (0, 2));
            assert!(planned.left_out.contains(&held) && planned.left_out.contains(&resolved), "{:?}", planned.left_out);
            let row = failed_message::by_ids(c, &[&a.id()]).unwrap().remove(0).unwrap();
            let edited = failed_message::FailedMessage { id: "edited".to_owned(), message_id: "new".to_owned(), ..row.clone() };
            assert!(!failed_message::supersede(c, &row.id, &edited, at(108)).unwrap());
        }
        // A finished replay releases all messages, and marks none as sent any more.
        assert!(replay::finish(c, "r1", replay::State::Aborted, None, at(110)).unwrap());
        failed_message::mark_sent(c, "r1", &[&d.id()], at(111)).unwrap();
        assert_eq!(failed_message::by_ids(c, &[&d.id()]).unwrap()[0].as_ref().unwrap().sent_at, None);
        assert_eq!(begin(c, "r2", &[State::Failed, State::FailedAgain, State::Resolved]).unwrap().total, 2, "one message failed after the cut-off");
        failed_message::mark_sent(c, "r1", &[&d.id()], at(112)).unwrap();
        assert_eq!(failed_message::by_ids(c, &[&d.id()]).unwrap()[0].as_ref().unwrap().sent_at, None);
    }

    fn lost_messages_are_sent_again(database: &Database) {
        let c = &mut database.get();
        let [a, b, d] = ["a", "b", "d"].map(|message| dead_letter(message, "x", 1));
        record(c, &[a.clone(), b.clone(), d.clone()], at(9)).unwrap();
        begin(c, "r1", &OPEN).unwrap();
        failed_message::mark_sent(c, "r1", &[&a.id(), &b.id()], at(101)).unwrap();
        failed_message::mark_sent(c, "r1", &[&d.id()], at(150)).unwrap();
        failed_message::resolve(c, &[&b.id()], at(102)).unwrap();
        // Recovery may take messages that were sent long ago.
        let all = [a.id(), b.id(), d.id()];
        let all: Vec<&str> = all.iter().map(String::as_str).collect();
        assert_eq!(failed_message::unsettled(c, &all, at(101)).unwrap().len(), 2);
        assert_eq!(failed_message::unsettled(c, &all, at(102)).unwrap(), [d.id()].into());
        assert_eq!(failed_message::mark_lost(c, "r1", at(101)).unwrap(), 0);
        assert_eq!(failed_message::mark_lost(c, "r1", at(102)).unwrap(), 1);
        let progress = failed_message::progress(c, "r1").unwrap();
        assert_eq!((progress.waiting, progress.under_way, progress.resolved), (1, 1, 1));
        assert_eq!(failed_message::unsent(c, "r1", 10).unwrap()[0].id, a.id());
        assert_eq!(failed_message::unsettled(c, &all, at(999)).unwrap(), [a.id()].into(), "the driver has not sent it again yet");
    }

    fn settled_order_ignores_clocks_of_hosts(database: &Database) {
        let c = &mut database.get();
        let dead_letters = ["a", "b", "d"].map(|message| dead_letter(message, message, 1));
        record(c, &dead_letters, at(9)).unwrap();
        begin(c, "r1", &OPEN).unwrap();
        // Three hosts, each with a clock behind the one before.
        failed_message::resolve(c, &[&dead_letters[0].id()], at(190)).unwrap();
        record(c, &[DeadLetter { failed_at: at(160), replay_id: Some("r1".to_owned()), ..dead_letters[1].clone() }], at(160)).unwrap();
        record(c, &[DeadLetter { failed_at: at(130), replay_id: Some("r1".to_owned()), ..dead_letters[2].clone() }], at(130)).unwrap();
        let last = |c: &mut Connection, limit| failed_message::last_settled(c, "r1", limit).unwrap();
        assert_eq!(last(c, 50), [Some("d".to_owned()), Some("b".to_owned()), None]);
        assert_eq!(last(c, 1), [Some("d".to_owned())]);
    }

    fn one_process_drives_a_replay(database: &Database) {
        let c = &mut database.get();
        record(c, &[dead_letter("a", "x", 1)], at(9)).unwrap();
        begin(c, "r", &OPEN).unwrap();
        let lease = |c: &mut Connection, driver: &str, now: i64| replay::lease(c, "r", driver, at(now), at(now + 10)).unwrap().is_some();
        assert!(lease(c, "one", 0) && lease(c, "one", 5));
        assert!(!lease(c, "two", 14));
        assert!(lease(c, "two", 16), "the lease of the first expired");
        assert!(!lease(c, "one", 17));
        assert!(replay::set_paused(c, "r", true, Some("wait")).unwrap());
        assert!(!replay::set_paused(c, "r", true, None).unwrap());
        assert!(!lease(c, "two", 18));
        assert!(replay::set_paused(c, "r", false, None).unwrap());
        replay::unlease(c, "r", "two").unwrap();
        assert!(lease(c, "one", 19));
    }

    fn concurrent_dead_letters_are_all_counted(database: &Database) {
        record(&mut database.get(), &[dead_letter("a", "x", 1)], at(2)).unwrap();
        std::thread::scope(|scope| {
            for thread in 0..4 {
                scope.spawn(move || {
                    for round in 0..10 {
                        let dead_letter = dead_letter("a", "x", 100 + thread * 100 + round);
                        loop {
                            match record(&mut database.get_when_free(), std::slice::from_ref(&dead_letter), at(3)) {
                                Ok(_) => break,
                                Err(error) => assert!(error.is_contention() || error.is_unavailable(), "{error:?}"),
                            }
                        }
                    }
                });
            }
        });
        let c = &mut database.get();
        assert_eq!(state(c, &dead_letter("a", "x", 1)), (State::Failed, 41));
        assert_eq!(failed_message::attempts(c, &[&dead_letter("a", "x", 1).id()]).unwrap()[0].len(), 42);
    }

    fn edited_message_supersedes_the_old_one(database: &Database) {
        let c = &mut database.get();
        let old = dead_letter("a", "x", 1);
        record(c, std::slice::from_ref(&old), at(2)).unwrap();
        let row = failed_message::by_ids(c, &[&old.id()]).unwrap().remove(0).unwrap();
        let edited = failed_message::FailedMessage { id: "edited".to_owned(), message_id: "new".to_owned(), letters: 1, ..row.clone() };
        assert!(failed_message::supersede(c, &row.id, &edited, at(3)).unwrap());
        assert!(!failed_message::supersede(c, &row.id, &edited, at(4)).unwrap(), "already superseded");
        assert_eq!(state(c, &old).0, State::Discarded);
        // Another copy of the old message stays discarded.
        record(c, &[DeadLetter { failed_at: at(9), ..old.clone() }], at(10)).unwrap();
        assert_eq!(state(c, &old), (State::Discarded, 2));
    }

    fn stores_notes_audit_entries_pauses_and_heartbeats(database: &Database) {
        let c = &mut database.get();
        let note = |text: &str| FailureNote { fingerprint: "x".to_owned(), note: text.to_owned(), actor: "h".to_owned(), noted_at: at(1) };
        failure_note::write(c, &note("one")).unwrap();
        failure_note::write(c, &note("two")).unwrap();
        assert_eq!(failure_note::by_fingerprints(c, &["x", "y"]).unwrap()["x"].note, "two");

        let entry = |id: &str, second| Entry {
            id: id.to_owned(), operation_id: "o".to_owned(), at: at(second), actor: "h".to_owned(), action: "failed.edit".to_owned(),
            kind: "failed_message".to_owned(), subject: id.to_owned(), reason: "r".to_owned(), before: None, after: Some("髙".to_owned()),
        };
        audit::write(c, &[entry("a", 1), entry("b", 2)]).unwrap();
        assert!(audit::write(c, &[entry("a", 3)]).is_err(), "an entry is immutable");
        let found = |c: &mut Connection, filter| audit::list(c, &filter, 10, None).unwrap().into_iter().map(|entry| entry.id).collect::<Vec<_>>();
        assert_eq!(found(c, audit::Filter::default()), ["b", "a"]);
        let entries = audit::list(c, &audit::Filter::default(), 10, None).unwrap();
        assert_eq!(audit::list(c, &audit::Filter::default(), 10, Some((entries[0].at, "b"))).unwrap(), entries[1..]);
        assert_eq!(found(c, audit::Filter { subject: Some("a".to_owned()), ..audit::Filter::default() }), ["a"]);
        assert_eq!(found(c, audit::Filter { operation_id: Some("o".to_owned()), ..audit::Filter::default() }), ["b", "a"]);
        assert_eq!(found(c, audit::Filter { subject: Some("%".to_owned()), ..audit::Filter::default() }), Vec::<String>::new());
        assert_eq!(found(c, audit::Filter { since: Some(at(2)), action: Some("failed.".to_owned()), ..audit::Filter::default() }), ["b"]);
        assert_eq!(found(c, audit::Filter { action: Some("edit".to_owned()), ..audit::Filter::default() }), Vec::<String>::new());

        let control = |paused, reason: &str| StageControl {
            stage: "mint".to_owned(), paused, reason: reason.to_owned(), actor: "h".to_owned(), changed_at: at(1),
        };
        assert!(!stage_control::set(c, &control(false, "never was")).unwrap());
        assert_eq!(stage_control::all(c).unwrap(), []);
        assert!(stage_control::set(c, &control(true, "first")).unwrap());
        assert!(!stage_control::set(c, &control(true, "second")).unwrap());
        assert_eq!(stage_control::all(c).unwrap()[0].reason, "first");
        assert!(stage_control::set(c, &control(false, "third")).unwrap());

        let process = |id: &str, seen| Worker {
            id: id.to_owned(), host: "h".to_owned(), pid: 7, version: "1".to_owned(), started_at: at(0), seen_at: at(seen),
        };
        let row = |id: &str, done| WorkerStage {
            worker_id: id.to_owned(), stage: "mint".to_owned(), lane: "live".to_owned(), consumers: 1, held: 2, done, per_minute: 3,
            busy_since: Some(at(1)), taken_from: None, fault_code: None, fault_text: None, open_since: None, next_probe: None,
            waiting: "[]".to_owned(),
        };
        let long_ago = at(0) - TimeDelta::days(1);
        worker::heartbeat(c, &process("p", 1), &[row("p", 1)], long_ago).unwrap();
        worker::heartbeat(c, &process("q", 50), &[], long_ago).unwrap();
        worker::heartbeat(c, &process("p", 60), &[row("p", 2)], long_ago).unwrap();
        let all = worker::all(c).unwrap();
        assert_eq!(all.iter().map(|(worker, stages)| (worker.id.as_str(), stages.len())).collect::<Vec<_>>(), [("p", 1), ("q", 0)]);
        assert_eq!((all[0].1[0].done, all[0].0.seen_at), (2, micros(at(60))));
        // A worker without heartbeats is removed, and one that stops removes itself.
        worker::heartbeat(c, &process("p", 70), &[row("p", 2)], at(55)).unwrap();
        worker::remove(c, "p").unwrap();
        assert_eq!(worker::all(c).unwrap(), []);
    }
}
