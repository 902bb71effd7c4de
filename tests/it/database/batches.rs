//! Schedule and runs of the nightly batch: slots, pages and leases.

use hosho::{
    audit::Operation,
    clock::Clock,
    jobs::{
        run::{self, Order, Settings, begin_due},
        run_report::Addresses,
    },
    schedule::{CronSchedule, MissedRun},
};
use hosho_schema::{
    models::{
        job_run::{self, Begun, Run, State as RunState},
        outbox, run_item,
    },
    queries::run_selection::{Selection, page},
};

use super::*;

fn settings(zone: &str, misfire: MissedRun, max_lateness: TimeDelta) -> Settings {
    Settings {
        schedule: CronSchedule::new("0 30 1 * * *", zone).unwrap(),
        misfire,
        max_lateness,
        rate: 100,
        in_flight: 100,
        lease: TimeDelta::seconds(30),
        report: Addresses::default(),
    }
}

fn tokyo(misfire: MissedRun) -> Settings {
    settings("Asia/Tokyo", misfire, TimeDelta::hours(12))
}

fn time(text: &str) -> NaiveDateTime {
    text.parse().unwrap()
}

/// Slot and state of all scheduled runs, in order.
fn scheduled_runs(c: &mut Connection) -> Vec<(String, RunState)> {
    let mut runs: Vec<_> = job_run::list(c, 100, None)
        .unwrap()
        .into_iter()
        .filter_map(|run| Some((run.scheduled_for?, run.state)))
        .collect();
    runs.sort();
    runs
}

fn finish(c: &mut Connection, run: &Run) {
    assert!(job_run::finish(c, &run.id, RunState::Complete, None, run.created_at).unwrap());
}

fn begin_manually(c: &mut Connection, clock: &Clock) -> Begun {
    let operation = Operation::new(clock, "reissue", "hanako", "test");
    run::begin(c, &operation, &Order { selection: Selection::All, rate: 10, slot: None }).unwrap()
}

on_both_databases! {
    fn one_of_many_instances_wins_each_slot(database: &Database) {
        let clock = Clock::fixed(time("2026-12-01T16:29:00"));
        begin_due(&mut database.get(), &tokyo(MissedRun::Once), &clock).unwrap();
        for night in 0..5 {
            clock.advance(TimeDelta::minutes(2));
            let start = Barrier::new(4);
            let won: Vec<Run> = std::thread::scope(|scope| {
                let instances: Vec<_> = (0..4)
                    .map(|_| {
                        scope.spawn(|| {
                            let mut c = database.get_when_free();
                            start.wait();
                            begin_due(&mut c, &tokyo(MissedRun::Once), &clock).unwrap()
                        })
                    })
                    .collect();
                instances.into_iter().filter_map(|instance| instance.join().unwrap()).collect()
            });
            assert_eq!(won.len(), 1, "night {night}");
            let c = &mut database.get();
            assert_eq!(scheduled_runs(c).len(), night + 1);
            finish(c, &won[0]);
            clock.advance(TimeDelta::days(1) - TimeDelta::minutes(2));
        }
    }

    fn clock_changes_run_each_slot_once(database: &Database) {
        let c = &mut database.get();
        // Two instances with separate clocks.
        let (one, other) = (Clock::fixed(time("2026-12-01T12:00:00")), Clock::fixed(time("2026-12-01T12:00:00")));
        let settings = tokyo(MissedRun::Once);
        assert_eq!(begin_due(c, &settings, &one).unwrap(), None);
        let mut won = Vec::new();
        for hours in [5, -5, 5, -1, 1, 24, -24, 24] {
            for clock in [&one, &other] {
                clock.advance(TimeDelta::hours(hours));
                for _ in 0..3 {
                    if let Some(run) = begin_due(c, &settings, clock).unwrap() {
                        finish(c, &run);
                        won.push(run.scheduled_for.unwrap());
                    }
                }
            }
        }
        assert_eq!(won, ["2026-12-02T01:30:00", "2026-12-03T01:30:00"]);
    }

    fn runs_once_when_daylight_saving_repeats_an_hour(database: &Database) {
        let c = &mut database.get();
        let settings = settings("America/New_York", MissedRun::Once, TimeDelta::hours(12));
        let clock = Clock::fixed(time("2026-10-31T12:00:00"));
        begin_due(c, &settings, &clock).unwrap();
        let mut won = Vec::new();
        for _ in 0..(3 * 24 * 4) {
            clock.advance(TimeDelta::minutes(15));
            if let Some(run) = begin_due(c, &settings, &clock).unwrap() {
                finish(c, &run);
                won.push((run.scheduled_for.unwrap(), run.created_at.to_string()));
            }
        }
        let slots: Vec<&str> = won.iter().map(|(slot, _)| slot.as_str()).collect();
        assert_eq!(slots, ["2026-11-01T01:30:00", "2026-11-02T01:30:00", "2026-11-03T01:30:00"], "{won:?}");
    }

    fn policy_decides_which_missed_runs_are_caught_up(database: &Database) {
        for (misfire, lateness, run, skipped) in [
            (MissedRun::Once, 12, vec!["2026-12-05T01:30:00"], 2),
            (MissedRun::Once, 1, vec![], 3),
            (MissedRun::Skip, 12, vec![], 3),
            (MissedRun::All, 24 * 7, vec!["2026-12-03T01:30:00", "2026-12-04T01:30:00", "2026-12-05T01:30:00"], 0),
            (MissedRun::All, 40, vec!["2026-12-04T01:30:00", "2026-12-05T01:30:00"], 1),
        ] {
            db::revert_all(&mut database.get()).unwrap();
            let c = &mut database.get();
            db::migrate(c).unwrap();
            let settings = settings("Asia/Tokyo", misfire, TimeDelta::hours(lateness));
            let clock = Clock::fixed(time("2026-12-02T00:00:00"));
            begin_due(c, &settings, &clock).unwrap();
            // It is 09:00 on the 5th in Tokyo.
            clock.advance(TimeDelta::days(3));
            let mut won = Vec::new();
            for _ in 0..5 {
                if let Some(begun) = begin_due(c, &settings, &clock).unwrap() {
                    // Never two at a time: the next run waits for the end of this one.
                    assert_eq!(begin_due(c, &settings, &clock).unwrap(), None);
                    finish(c, &begun);
                    won.push(begun.scheduled_for.unwrap());
                }
            }
            assert_eq!(won, run, "{misfire:?} {lateness}");
            let skipped_runs = scheduled_runs(c).into_iter().filter(|(_, state)| *state == RunState::Skipped).count();
            assert_eq!(skipped_runs, skipped, "{misfire:?} {lateness}");
        }
    }

    fn slots_before_the_first_start_are_not_run(database: &Database) {
        let c = &mut database.get();
        let clock = Clock::fixed(time("2026-12-02T00:00:00"));
        assert_eq!(begin_due(c, &tokyo(MissedRun::All), &clock).unwrap(), None);
        assert_eq!(scheduled_runs(c), []);
    }

    fn manual_and_nightly_runs_exclude_each_other(database: &Database) {
        let c = &mut database.get();
        let clock = Clock::fixed(time("2026-12-01T16:00:00"));
        begin_due(c, &tokyo(MissedRun::Once), &clock).unwrap();
        let Begun::Ours(manual) = begin_manually(c, &clock) else { panic!("another run is active") };
        clock.advance(TimeDelta::hours(1));
        assert_eq!(begin_due(c, &tokyo(MissedRun::Once), &clock).unwrap(), None);
        assert!(matches!(begin_manually(c, &clock), Begun::Busy(other) if other.id == manual.id));
        finish(c, &manual);
        let night = begin_due(c, &tokyo(MissedRun::Once), &clock).unwrap().unwrap();
        assert_eq!(night.scheduled_for.as_deref(), Some("2026-12-02T01:30:00"));
    }

    fn only_the_lease_holder_adds_pages(database: &Database) {
        let c = &mut database.get();
        let guarantees: Vec<String> = issued(c, "a", 5).into_iter().map(|issued| issued.guarantee.id).collect();
        let clock = Clock::fixed(at(10));
        let Begun::Ours(run) = begin_manually(c, &clock) else { panic!("another run is active") };
        assert_eq!(run.total, 5);
        let until = |seconds| at(10) + TimeDelta::seconds(seconds);
        let run = job_run::lease(c, &run.id, "one", at(10), until(30)).unwrap().unwrap();
        assert_eq!(job_run::lease(c, &run.id, "other", until(29), until(59)).unwrap(), None);
        let first = page(c, &Selection::All, run.cutoff, &run.checkpoint, 3).unwrap();
        let ids: Vec<&str> = first.iter().map(|(guarantee, _)| guarantee.as_str()).collect();
        let row = outbox::Outbound {
            run_id: run.id.clone(),
            seq: 0,
            stage: "reissue".to_owned(),
            message_id: "m".to_owned(),
            correlation_id: None,
            traceparent: None,
            payload: "{}".to_owned(),
        };
        assert!(job_run::advance(c, &run, "one", &ids, std::slice::from_ref(&row), false).unwrap());
        // The same page again, and a page of a driver without the lease.
        assert!(!job_run::advance(c, &run, "one", &ids, std::slice::from_ref(&row), false).unwrap());
        let now = job_run::by_id(c, &run.id).unwrap().unwrap();
        assert!(!job_run::advance(c, &now, "other", &ids, std::slice::from_ref(&row), false).unwrap());
        assert_eq!((now.selected, now.checkpoint.as_str(), run_item::queued(c, &run.id).unwrap()), (3, ids[2], 3));
        assert_eq!(outbox::next(c, &run.id, 10).unwrap(), [row]);
        // The lease expires: another driver continues after the checkpoint.
        let taken = job_run::lease(c, &run.id, "other", until(31), until(61)).unwrap().unwrap();
        assert_eq!((taken.takeovers, taken.checkpoint.as_str()), (2, ids[2]));
        assert_eq!(job_run::lease(c, &run.id, "one", until(32), until(62)).unwrap(), None);
        let rest = page(c, &Selection::All, run.cutoff, &taken.checkpoint, 3).unwrap();
        let mut all: Vec<String> = first.iter().chain(&rest).map(|(guarantee, _)| guarantee.clone()).collect();
        all.sort();
        let mut expected = guarantees;
        expected.sort();
        assert_eq!(all, expected);
        // A paused run has no driver; a finished run drops its unpublished messages.
        assert!(job_run::set_paused(c, &run.id, true, Some("wait")).unwrap());
        assert_eq!(job_run::lease(c, &run.id, "other", until(33), until(63)).unwrap(), None);
        assert!(job_run::set_paused(c, &run.id, false, None).unwrap());
        assert!(job_run::finish(c, &run.id, RunState::Cancelled, Some("enough"), until(40)).unwrap());
        assert_eq!(outbox::next(c, &run.id, 10).unwrap(), []);
        assert!(!job_run::finish(c, &run.id, RunState::Complete, None, until(41)).unwrap());
    }

    fn selections_find_matching_guarantees(database: &Database) {
        let c = &mut database.get();
        let all = issued(c, "a", 3);
        let count = |c: &mut Connection, selection: &Selection| hosho_schema::queries::run_selection::count(c, selection, at(100)).unwrap();
        let found = |c: &mut Connection, selection: &Selection| -> i64 {
            let (mut found, mut after) = (0, String::new());
            loop {
                let page = page(c, selection, at(100), &after, 2).unwrap();
                let Some((last, _)) = page.last() else { return found };
                after.clone_from(last);
                found += i64::try_from(page.len()).unwrap();
            }
        };
        for (selection, expected) in [
            (Selection::All, 3),
            (Selection::Pending, 0),
            (Selection::Obligee { obligee: "hirakawa".to_owned() }, 3),
            (Selection::Obligee { obligee: "mlit".to_owned() }, 0),
            (Selection::Numbers { numbers: vec![all[1].guarantee.number.clone(), "x".to_owned()] }, 1),
            (Selection::Since { since: at(2) }, 3),
            (Selection::Since { since: at(3) }, 0),
            // The documents are not rendered yet.
            (Selection::TemplateChanged { identity: "fonts-1".to_owned() }, 0),
        ] {
            assert_eq!((count(c, &selection), found(c, &selection)), (expected, expected), "{selection:?}");
        }
        let certificates: Vec<&str> = all.iter().map(|issued| issued.revision.id.as_str()).collect();
        revision::set_arrived(c, &certificates, at(4)).unwrap();
        document::insert_new(c, &[paper(certificates[0], Kind::Certificate)]).unwrap();
        assert_eq!(count(c, &Selection::TemplateChanged { identity: "fonts-1".to_owned() }), 2);
        assert_eq!(count(c, &Selection::TemplateChanged { identity: "fonts-2".to_owned() }), 3);
        guarantee::set_standing(c, &[guarantee::Standing { id: all[0].guarantee.id.clone(), current_revision: 0, ended_on: Some("2026-12-31".to_owned()) }]).unwrap();
        assert_eq!(count(c, &Selection::All), 2);
    }
}
