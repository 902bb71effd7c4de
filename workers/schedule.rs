//! When a job is due, on the clocks of a zone; and what becomes of the turns that were missed.
//!
//! A *slot* is a time on the wall clock, such as `2026-12-01T01:30:00`, and not a moment: where the clocks are put back, the same
//! wall-clock time comes twice and its slot once, at its first coming; where they are put forward over it, it is due at the moment they
//! are. So every slot has exactly one moment, those of later slots are not earlier, and one that was given out is never given out again,
//! however the clock of a host jumps. (By the old clock, a slot that is left out would be due behind some that follow it, and be lost when
//! one of those was given out before.)

use std::{fmt, str::FromStr};

use chrono::{LocalResult, NaiveDateTime, TimeDelta, TimeZone, Utc};
use chrono_tz::{GapInfo, Tz};
use serde::{Deserialize, Serialize};

use crate::domain::wareki::TOKYO;

/// Slots looked at in one turn at most: more than two years of nights.
const MOST: usize = 1_000;

/// How late a slot may be and still be on time: the schedule is looked at every second or so, and a process takes its time to start.
const ON_TIME: TimeDelta = TimeDelta::seconds(60);

/// A cron expression, seconds first.
#[derive(Debug, Clone)]
pub struct Cron(cron::Schedule);

impl FromStr for Cron {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        cron::Schedule::from_str(text)
            .map(Self)
            .map_err(|error| format!("not a cron expression with seconds first: {error}"))
    }
}

impl Cron {
    /// The first moment after `now` (both UTC) that the expression names on the clocks of Tokyo.
    pub fn next(&self, now: NaiveDateTime) -> Option<NaiveDateTime> {
        self.0.after(&TOKYO.from_utc_datetime(&now)).next().map(|moment| moment.naive_utc())
    }
}

/// A cron expression (seconds first) on the clocks of a zone.
#[derive(Debug, Clone)]
pub struct CronSchedule {
    schedule: cron::Schedule,
    zone: Tz,
}

/// A turn of a job.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Slot {
    /// On the wall clock of the zone.
    pub local: NaiveDateTime,
    /// The moment it is due (UTC).
    pub due: NaiveDateTime,
}

impl Slot {
    /// As it is stored: texts in this form sort as the times do.
    pub fn text(local: NaiveDateTime) -> String {
        local.format("%Y-%m-%dT%H:%M:%S").to_string()
    }
}

/// What becomes of slots that passed while nobody was there to run them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Misfire {
    /// The latest one is made up for, and does the work of all.
    Once,
    /// None is made up for.
    Skip,
    /// Each is made up for, one after the other.
    All,
}

/// What is to be done about a slot.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Turn {
    /// It runs.
    Run,
    /// It does not, for this reason.
    Skip(String),
}

/// Says what is wrong with a timetable.
#[derive(Debug, thiserror::Error)]
pub enum TimetableError {
    /// The expression.
    #[error("not a cron expression with seconds first: {0}")]
    Expression(cron::error::Error),
    /// The zone.
    #[error("no zone is called {0:?}; use a name such as Asia/Tokyo")]
    Zone(String),
}

/// Reads the name of a zone, such as `Asia/Tokyo`.
pub fn zone(name: &str) -> Result<Tz, TimetableError> {
    Tz::from_str(name).map_err(|_| TimetableError::Zone(name.to_owned()))
}

impl fmt::Display for CronSchedule {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.schedule, self.zone)
    }
}

impl CronSchedule {
    /// Reads an expression and the name of a zone.
    pub fn new(expression: &str, zone_name: &str) -> Result<Self, TimetableError> {
        let schedule = cron::Schedule::from_str(expression).map_err(TimetableError::Expression)?;
        Ok(Self { schedule, zone: zone(zone_name)? })
    }

    /// What the wall clock shows at a moment (UTC).
    pub fn local(&self, moment: NaiveDateTime) -> NaiveDateTime {
        self.zone.from_utc_datetime(&moment).naive_local()
    }

    /// The slots behind `after` (wall clock) that are due at `now` (UTC), in their order; of very many the latest.
    pub fn due(&self, after: NaiveDateTime, now: NaiveDateTime) -> Vec<Slot> {
        // Where clocks were put back a moment ago, slots that were due by the old one are ahead of what the new one shows.
        let horizon = self.local(now) + TimeDelta::hours(3);
        let locals = self.schedule.after(&Utc.from_utc_datetime(&after)).map(|moment| moment.naive_utc());
        let mut slots = std::collections::VecDeque::new();
        for slot in locals
            .take_while(|local| *local <= horizon)
            .map(|local| self.slot(local))
            .filter(|slot| slot.due <= now)
        {
            if slots.len() == MOST {
                slots.pop_front();
            }
            slots.push_back(slot);
        }
        slots.into()
    }

    /// The first slot behind `after` (wall clock).
    pub fn next(&self, after: NaiveDateTime) -> Option<Slot> {
        let local = self.schedule.after(&Utc.from_utc_datetime(&after)).next()?;
        Some(self.slot(local.naive_utc()))
    }

    fn slot(&self, local: NaiveDateTime) -> Slot {
        let due = match self.zone.from_local_datetime(&local) {
            LocalResult::Single(moment) | LocalResult::Ambiguous(moment, _) => moment.naive_utc(),
            // The clocks were put forward over it.
            LocalResult::None => {
                GapInfo::new(&local, &self.zone).and_then(|gap| gap.end).map_or(local, |end| end.naive_utc())
            }
        };
        Slot { local, due }
    }
}

/// What becomes of slots that are due, in their order.
pub fn turns(
    slots: &[Slot],
    now: NaiveDateTime,
    misfire: Misfire,
    max_lateness: TimeDelta,
) -> Vec<(Slot, Turn)> {
    let late = |slot: &Slot| now - slot.due;
    let told = |lateness: TimeDelta| format!("{} minutes late", lateness.num_minutes());
    slots
        .iter()
        .enumerate()
        .map(|(place, slot)| {
            let turn = match misfire {
                Misfire::Once if place + 1 < slots.len() => {
                    Turn::Skip("a later turn does its work".to_owned())
                }
                Misfire::Skip if late(slot) > ON_TIME => Turn::Skip(format!("missed: {}", told(late(slot)))),
                _ if late(slot) > max_lateness => Turn::Skip(format!("too late: {}", told(late(slot)))),
                _ => Turn::Run,
            };
            (*slot, turn)
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn at(text: &str) -> NaiveDateTime {
        text.parse().unwrap()
    }

    fn told(slots: &[Slot]) -> Vec<(String, String)> {
        slots.iter().map(|slot| (Slot::text(slot.local), Slot::text(slot.due))).collect()
    }

    fn pairs(expected: &[(&str, &str)]) -> Vec<(String, String)> {
        expected.iter().map(|(local, due)| ((*local).to_owned(), (*due).to_owned())).collect()
    }

    #[test]
    fn a_night_in_tokyo() {
        let nights = CronSchedule::new("0 30 1 * * *", "Asia/Tokyo").unwrap();
        assert_eq!(nights.due(at("2026-12-01T01:30:00"), at("2026-12-01T16:29:59")), []);
        let slots = nights.due(at("2026-12-01T01:30:00"), at("2026-12-01T16:30:00"));
        assert_eq!(told(&slots), pairs(&[("2026-12-02T01:30:00", "2026-12-01T16:30:00")]));
        assert_eq!(nights.next(at("2026-12-02T01:30:00")).unwrap().due, at("2026-12-02T16:30:00"));
    }

    #[test]
    fn where_clocks_are_put_back_a_slot_comes_once() {
        // 1 November 2026, New York: 02:00 EDT becomes 01:00 EST.
        let nights = CronSchedule::new("0 30 1 * * *", "America/New_York").unwrap();
        let slots = nights.due(at("2026-10-31T12:00:00"), at("2026-11-02T12:00:00"));
        let expected =
            [("2026-11-01T01:30:00", "2026-11-01T05:30:00"), ("2026-11-02T01:30:00", "2026-11-02T06:30:00")];
        assert_eq!(told(&slots), pairs(&expected));
    }

    #[test]
    fn where_clocks_are_put_forward_no_night_is_lost() {
        // 8 March 2026, New York: 02:00 EST becomes 03:00 EDT, so 02:30 never is.
        let nights = CronSchedule::new("0 30 2 * * *", "America/New_York").unwrap();
        let slots = nights.due(at("2026-03-07T12:00:00"), at("2026-03-08T12:00:00"));
        assert_eq!(told(&slots), pairs(&[("2026-03-08T02:30:00", "2026-03-08T07:00:00")]));
        // Of several, each is due before those behind it.
        let often = CronSchedule::new("0 0,30 2,3 * * *", "America/New_York").unwrap();
        assert_eq!(told(&often.due(at("2026-03-08T00:00:00"), at("2026-03-08T07:00:00"))).len(), 3);
        assert_eq!(told(&often.due(at("2026-03-08T00:00:00"), at("2026-03-08T07:30:00"))).len(), 4);
    }

    #[test]
    fn three_missed_nights() {
        let nights = CronSchedule::new("0 30 1 * * *", "Asia/Tokyo").unwrap();
        // Down from the 1st; up again on the 4th at 09:00 in Tokyo.
        let now = at("2026-12-04T00:00:00");
        let slots = nights.due(at("2026-12-01T01:30:00"), now);
        let run = |misfire, hours| -> Vec<bool> {
            turns(&slots, now, misfire, TimeDelta::hours(hours))
                .into_iter()
                .map(|(_, turn)| turn == Turn::Run)
                .collect()
        };
        assert_eq!(run(Misfire::Once, 12), [false, false, true]);
        assert_eq!(run(Misfire::Once, 1), [false, false, false]);
        assert_eq!(run(Misfire::Skip, 12), [false, false, false]);
        assert_eq!(run(Misfire::All, 24 * 7), [true, true, true]);
        assert_eq!(run(Misfire::All, 36), [false, true, true]);
        let on_time = |misfire| {
            turns(&slots[2..], slots[2].due + TimeDelta::seconds(1), misfire, TimeDelta::hours(1)).remove(0).1
        };
        for misfire in [Misfire::Once, Misfire::Skip, Misfire::All] {
            assert_eq!(on_time(misfire), Turn::Run);
        }
    }

    #[test]
    fn what_is_wrong_is_told() {
        assert!(
            CronSchedule::new("30 1 * * *", "Asia/Tokyo").unwrap_err().to_string().contains("seconds first")
        );
        assert!(CronSchedule::new("0 30 1 * * *", "Tokyo").unwrap_err().to_string().contains("Asia/Tokyo"));
    }

    proptest! {
        /// However the clock jumps: slots are given out once, those of all moments up to the latest it ever showed.
        #[test]
        fn no_slot_twice_and_none_lost(
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
                // As the program does: behind the last slot given out that the clock has passed.
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
