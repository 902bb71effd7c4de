//! Cron schedules on the clocks of a zone, and their missed runs.
//!
//! A *slot* is a time on the wall clock, such as `2026-12-01T01:30:00`, not a moment. Where the clocks are
//! put back, the same wall-clock time comes twice and its slot once, at the first. Where they are put forward
//! over it, the slot is due at the moment they are. So every slot has exactly one moment, later slots are not
//! due earlier, and a slot that was returned is never returned again, however the clock of a host jumps. (By
//! the old clock, a skipped slot would be due after some that follow it, and be lost when one of those was
//! returned before.)

use std::str::FromStr;

use chrono::{LocalResult, NaiveDateTime, TimeDelta, TimeZone, Utc};
use chrono_tz::{GapInfo, Tz};
use serde::{Deserialize, Serialize};

use crate::text::counted;

/// Slots returned at once at most: more than two years of nights.
const MAX_SLOTS: usize = 1_000;

/// Lateness of a slot that is still on time.
/// Drivers check the schedule about once a second, and a process takes time to start.
const ON_TIME: TimeDelta = TimeDelta::seconds(60);

/// A cron expression (six fields, seconds first) on the clocks of a zone.
#[derive(Debug, Clone)]
pub struct CronSchedule {
    schedule: cron::Schedule,
    zone: Tz,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Slot {
    /// On the wall clock of the zone.
    pub local: NaiveDateTime,
    /// The moment it is due (UTC).
    pub due: NaiveDateTime,
}

impl Slot {
    /// The stored form: these texts sort as the times do.
    pub fn text(local: NaiveDateTime) -> String {
        local.format("%Y-%m-%dT%H:%M:%S").to_string()
    }
}

/// What happens to slots that passed while no worker ran.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum MissedRun {
    /// The latest runs; it does the work of all.
    Once,
    Skip,
    /// Each runs, one after the other.
    All,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Decision {
    Run,
    Skip(String),
}

#[derive(Debug, thiserror::Error)]
pub enum ScheduleError {
    #[error(
        "{expression:?} has {fields}; a cron expression has six fields, seconds first: \
         \"0 30 1 * * *\" is every day at 01:30:00"
    )]
    Fields { expression: String, fields: String },
    #[error("{expression:?} is not a cron expression: its {field} cannot be {value:?}")]
    Value { expression: String, field: &'static str, value: String },
    #[error("{0:?} is not a time zone; use a name such as Asia/Tokyo")]
    Zone(String),
}

impl CronSchedule {
    pub fn new(expression: &str, zone: &str) -> Result<Self, ScheduleError> {
        let schedule = parse(expression)?;
        let zone = Tz::from_str(zone).map_err(|_| ScheduleError::Zone(zone.to_owned()))?;
        Ok(Self { schedule, zone })
    }

    /// The wall clock at a moment (UTC).
    pub fn local(&self, moment: NaiveDateTime) -> NaiveDateTime {
        self.zone.from_utc_datetime(&moment).naive_local()
    }

    /// The slots after `after` (wall clock) that are due at `now` (UTC), in order.
    /// Of very many, the latest.
    pub fn due(&self, after: NaiveDateTime, now: NaiveDateTime) -> Vec<Slot> {
        // Clocks that were put back a moment ago show a time before slots that are due already.
        let horizon = self.local(now) + TimeDelta::hours(3);
        let locals = self.schedule.after(&Utc.from_utc_datetime(&after)).map(|moment| moment.naive_utc());
        let mut slots = std::collections::VecDeque::new();
        for slot in locals
            .take_while(|local| *local <= horizon)
            .map(|local| self.slot(local))
            .filter(|slot| slot.due <= now)
        {
            if slots.len() == MAX_SLOTS {
                slots.pop_front();
            }
            slots.push_back(slot);
        }
        slots.into()
    }

    /// The first moment after `now` (both UTC).
    pub fn next_moment(&self, now: NaiveDateTime) -> Option<NaiveDateTime> {
        self.next(self.local(now)).map(|slot| slot.due)
    }

    /// The first slot after `after` (wall clock).
    pub fn next(&self, after: NaiveDateTime) -> Option<Slot> {
        let local = self.schedule.after(&Utc.from_utc_datetime(&after)).next()?;
        Some(self.slot(local.naive_utc()))
    }

    pub fn slot(&self, local: NaiveDateTime) -> Slot {
        let due = match self.zone.from_local_datetime(&local) {
            LocalResult::Single(moment) | LocalResult::Ambiguous(moment, _) => moment.naive_utc(),
            // Clocks were put forward over it.
            LocalResult::None => {
                GapInfo::new(&local, &self.zone).and_then(|gap| gap.end).map_or(local, |end| end.naive_utc())
            }
        };
        Slot { local, due }
    }
}

fn parse(expression: &str) -> Result<cron::Schedule, ScheduleError> {
    const NAMES: [&str; 6] = ["second", "minute", "hour", "day of the month", "month", "day of the week"];
    let expression = expression.to_owned();
    let fields: Vec<&str> = expression.split_whitespace().collect();
    if fields.len() != NAMES.len() {
        let fields = counted(fields.len(), "field");
        return Err(ScheduleError::Fields { expression, fields });
    }
    let is_wrong = |place: usize| {
        let mut alone = ["*"; NAMES.len()];
        alone[place] = fields[place];
        cron::Schedule::from_str(&alone.join(" ")).is_err()
    };
    cron::Schedule::from_str(&expression).map_err(|_| {
        let wrong = (0..NAMES.len()).find(|place| is_wrong(*place));
        let (field, value) = wrong.map_or(("text", &*expression), |place| (NAMES[place], fields[place]));
        ScheduleError::Value { field, value: value.to_owned(), expression: expression.clone() }
    })
}

/// Which of these due slots run, in order.
pub fn decide(
    slots: &[Slot],
    now: NaiveDateTime,
    missed: MissedRun,
    max_lateness: TimeDelta,
) -> Vec<(Slot, Decision)> {
    let late = |slot: &Slot| now - slot.due;
    let minutes = |slot: &Slot| format!("{} minutes late", late(slot).num_minutes());
    slots
        .iter()
        .enumerate()
        .map(|(place, slot)| {
            let decision = match missed {
                MissedRun::Once if place + 1 < slots.len() => {
                    Decision::Skip("a later scheduled run does its work".to_owned())
                }
                MissedRun::Skip if late(slot) > ON_TIME => {
                    Decision::Skip(format!("missed: {}", minutes(slot)))
                }
                _ if late(slot) > max_lateness => Decision::Skip(format!("too late: {}", minutes(slot))),
                _ => Decision::Run,
            };
            (*slot, decision)
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use proptest::{prelude::*, test_runner::FileFailurePersistence};

    use super::*;

    fn at(text: &str) -> NaiveDateTime {
        text.parse().unwrap()
    }

    fn texts(slots: &[Slot]) -> Vec<(String, String)> {
        slots.iter().map(|slot| (Slot::text(slot.local), Slot::text(slot.due))).collect()
    }

    fn pairs(expected: &[(&str, &str)]) -> Vec<(String, String)> {
        expected.iter().map(|(local, due)| ((*local).to_owned(), (*due).to_owned())).collect()
    }

    #[test]
    fn returns_a_slot_per_night_in_tokyo() {
        let nights = CronSchedule::new("0 30 1 * * *", "Asia/Tokyo").unwrap();
        assert_eq!(nights.due(at("2026-12-01T01:30:00"), at("2026-12-01T16:29:59")), []);
        let slots = nights.due(at("2026-12-01T01:30:00"), at("2026-12-01T16:30:00"));
        assert_eq!(texts(&slots), pairs(&[("2026-12-02T01:30:00", "2026-12-01T16:30:00")]));
        assert_eq!(nights.next(at("2026-12-02T01:30:00")).unwrap().due, at("2026-12-02T16:30:00"));
    }

    #[test]
    fn returns_a_slot_once_where_clocks_go_back() {
        // 1 November 2026, New York: 02:00 EDT becomes 01:00 EST.
        let nights = CronSchedule::new("0 30 1 * * *", "America/New_York").unwrap();
        let slots = nights.due(at("2026-10-31T12:00:00"), at("2026-11-02T12:00:00"));
        let expected =
            [("2026-11-01T01:30:00", "2026-11-01T05:30:00"), ("2026-11-02T01:30:00", "2026-11-02T06:30:00")];
        assert_eq!(texts(&slots), pairs(&expected));
    }

    #[test]
    fn returns_every_slot_where_clocks_go_forward() {
        // 8 March 2026, New York: 02:00 EST becomes 03:00 EDT, so 02:30 never is.
        let nights = CronSchedule::new("0 30 2 * * *", "America/New_York").unwrap();
        let slots = nights.due(at("2026-03-07T12:00:00"), at("2026-03-08T12:00:00"));
        assert_eq!(texts(&slots), pairs(&[("2026-03-08T02:30:00", "2026-03-08T07:00:00")]));
        // Of several, each is due before the next.
        let often = CronSchedule::new("0 0,30 2,3 * * *", "America/New_York").unwrap();
        assert_eq!(texts(&often.due(at("2026-03-08T00:00:00"), at("2026-03-08T07:00:00"))).len(), 3);
        assert_eq!(texts(&often.due(at("2026-03-08T00:00:00"), at("2026-03-08T07:30:00"))).len(), 4);
    }

    #[test]
    fn runs_or_skips_missed_runs_by_policy() {
        let nights = CronSchedule::new("0 30 1 * * *", "Asia/Tokyo").unwrap();
        // No worker from the 1st to the 4th, 09:00 in Tokyo.
        let now = at("2026-12-04T00:00:00");
        let slots = nights.due(at("2026-12-01T01:30:00"), now);
        let run = |missed, hours| -> Vec<bool> {
            decide(&slots, now, missed, TimeDelta::hours(hours))
                .into_iter()
                .map(|(_, decision)| decision == Decision::Run)
                .collect()
        };
        assert_eq!(run(MissedRun::Once, 12), [false, false, true]);
        assert_eq!(run(MissedRun::Once, 1), [false, false, false]);
        assert_eq!(run(MissedRun::Skip, 12), [false, false, false]);
        assert_eq!(run(MissedRun::All, 24 * 7), [true, true, true]);
        assert_eq!(run(MissedRun::All, 36), [false, true, true]);
        let on_time = |missed| {
            decide(&slots[2..], slots[2].due + TimeDelta::seconds(1), missed, TimeDelta::hours(1)).remove(0).1
        };
        for missed in [MissedRun::Once, MissedRun::Skip, MissedRun::All] {
            assert_eq!(on_time(missed), Decision::Run);
        }
    }

    #[test]
    fn rejects_wrong_expressions_and_zones() {
        for expression in ["30 1 * * *", "0 30 1 * * * 2026", "never", ""] {
            let problem = CronSchedule::new(expression, "Asia/Tokyo").unwrap_err().to_string();
            assert!(problem.contains("six fields, seconds first"), "{problem}");
        }
        for (expression, problem) in [
            ("99 0 1 * * *", "its second cannot be \"99\""),
            ("0 0 1 * * 0", "its day of the week cannot be \"0\""),
            ("0 0 x 13 * *", "its hour cannot be \"x\""),
        ] {
            let found = CronSchedule::new(expression, "Asia/Tokyo").unwrap_err().to_string();
            assert_eq!(found, format!("{expression:?} is not a cron expression: {problem}"));
        }
        assert!(CronSchedule::new("0 30 1 * * *", "Tokyo").unwrap_err().to_string().contains("Asia/Tokyo"));
    }

    #[test]
    fn returns_the_next_time_in_a_zone() {
        let nights = CronSchedule::new("0 30 1 * * *", "Asia/Tokyo").unwrap();
        assert_eq!(nights.next_moment(at("2026-03-31T12:00:00")), Some(at("2026-03-31T16:30:00")));
    }

    proptest! {
        #![proptest_config(ProptestConfig {
            failure_persistence: Some(Box::new(FileFailurePersistence::Direct(
                "workers/proptest-regressions/schedule.txt",
            ))),
            ..ProptestConfig::default()
        })]

        /// Every slot up to the latest time of a jumping clock is returned once.
        #[test]
        fn returns_every_slot_once(
            zone in prop::sample::select(vec!["Asia/Tokyo", "America/New_York", "Europe/Berlin", "Australia/Lord_Howe", "Pacific/Apia"]),
            start in 0_i64..3_000,
            steps in prop::collection::vec(-50_i64..80, 1..40),
        ) {
            let table = CronSchedule::new("0 15,45 0-4 * * *", zone).unwrap();
            let mut now = at("2010-01-01T00:00:00") + TimeDelta::hours(start * 47);
            let since = table.local(now);
            let mut latest = now;
            let mut given: std::collections::BTreeSet<NaiveDateTime> = std::collections::BTreeSet::new();
            for step in steps {
                now += TimeDelta::minutes(step * 37);
                latest = latest.max(now);
                // As the driver does: after the last returned slot that the clock has passed.
                let after = given.range(..=table.local(now)).next_back().copied().unwrap_or(since);
                for slot in table.due(after, now) {
                    given.insert(slot.local);
                }
            }
            let all: std::collections::BTreeSet<NaiveDateTime> = table.due(since, latest).into_iter().map(|slot| slot.local).collect();
            prop_assert!(all.is_subset(&given), "lost: {:?}", all.difference(&given).collect::<Vec<_>>());
        }
    }
}
