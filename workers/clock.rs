//! The clock.
//! Code that needs the time takes a [`Clock`] or a moment, so that tests can set it.
//!
//! Moments are UTC and whole microseconds: PostgreSQL keeps no more, SQLite would keep nanoseconds, and a
//! moment must compare equal to itself after a round trip through either.

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};

use chrono::{DateTime, NaiveDateTime, TimeDelta, Utc};

/// Cheap to clone; clones of a fixed clock move together.
#[derive(Debug, Clone)]
pub struct Clock(Source);

#[derive(Debug, Clone)]
enum Source {
    System,
    Fixed(Arc<AtomicI64>),
}

impl Clock {
    pub fn system() -> Self {
        Self(Source::System)
    }

    /// A clock that shows `moment` (UTC) until it is advanced.
    pub fn fixed(moment: NaiveDateTime) -> Self {
        Self(Source::Fixed(Arc::new(AtomicI64::new(moment.and_utc().timestamp_micros()))))
    }

    /// Moves a fixed clock and all its clones, backwards for a negative `step`.
    /// Does nothing to the system clock.
    pub fn advance(&self, step: TimeDelta) {
        if let Source::Fixed(micros) = &self.0 {
            micros.fetch_add(step.num_microseconds().unwrap_or(0), Ordering::SeqCst);
        }
    }

    /// UTC, whole microseconds.
    pub fn now(&self) -> NaiveDateTime {
        let micros = match &self.0 {
            Source::System => {
                #[expect(clippy::disallowed_methods, reason = "this is the clock")]
                let now = Utc::now();
                now.timestamp_micros()
            }
            Source::Fixed(micros) => micros.load(Ordering::SeqCst),
        };
        DateTime::from_timestamp_micros(micros).unwrap_or_default().naive_utc()
    }
}

/// A configured duration; one without end is 136 years.
pub fn seconds(seconds: u64) -> TimeDelta {
    TimeDelta::seconds(i64::try_from(seconds).unwrap_or(i64::from(u32::MAX)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn clones_of_a_fixed_clock_advance_together() {
        let start = DateTime::from_timestamp(1_782_864_000, 123_456_789).unwrap().naive_utc();
        let clock = Clock::fixed(start);
        let clone = clock.clone();
        assert_eq!(clock.now().and_utc().timestamp_subsec_nanos(), 123_456_000);
        clone.advance(TimeDelta::minutes(30));
        assert_eq!(clock.now() - start, TimeDelta::minutes(30) - TimeDelta::nanoseconds(789));
        clock.advance(TimeDelta::minutes(-30));
        assert_eq!(clone.now().and_utc().timestamp(), start.and_utc().timestamp());
    }

    #[test]
    fn system_clock_returns_whole_microseconds() {
        let clock = Clock::system();
        let first = clock.now();
        clock.advance(TimeDelta::days(365));
        assert!(clock.now() >= first && clock.now() - first < TimeDelta::days(1));
        assert_eq!(first.and_utc().timestamp_subsec_nanos() % 1_000, 0);
    }
}
