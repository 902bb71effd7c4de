//! How hard pressed the processor is, as a live batch feels it, and how much of its time bulk work takes.
//!
//! A thread that sleeps for a moment, over and over, wakes late when others are on the processor, whoever they are: bulk work of this
//! process or another, the database that works for it, the broker. A live application sleeps and wakes dozens of times on its way. So bulk
//! work rests the more, the later that thread wakes: as senders do on a network, much less when it is late, a little more when it is not.
//!
//! A night of guarantees with mails by two workers, everything on two cores, live p95 against that of before: 3.7 times without this,
//! 2.6 times with one hand for bulk work ([`super::priority`]) and more guarantees a second, 2.0 times when bulk work rests at 220 µs,
//! 1.5 times at 150 µs. What did not do: threads of low priority alone, because the database and the broker have groups of their own for the
//! system's scheduler, nor with the policy for idle times (1.8 and 2.1 times, and 1.6 to 2.3 without, at 250 guarantees a second); batches of
//! a quarter of the size, which cost a fifth more; a fixed rate, which is right for one machine at one time of the day; nor, in place of
//! the rest, a pause of 40 ms after each live batch for the next stage of the same application (with two
//! live applications a second: 138 guarantees a second and 2.1 times the p95 with bulk work on half of the cores, 170 and 3.2 times with it on
//! all of them, where the rest had 157 and 1.8 times).
//!
//! Bulk work rests at three times the lateness of a quiet machine: by one worker, 8,000 guarantees without mails, 1.8 to 2.3 times the p95,
//! whether 100 or 300 of them were re-issued a second. What is left is a live application that meets a batch in the database or the broker.
//! Among a million guarantees 108 a second were re-issued at twice the lateness, for 1.1 times the p95, 222 at three times for 2.1, and
//! 263 at four times for 2.2.

use std::{
    io,
    sync::{Arc, Mutex, PoisonError, Weak},
    thread,
    time::{Duration, Instant},
};

/// How long the thread sleeps.
const SLEEP: Duration = Duration::from_millis(5);

/// After so many of them the share is adapted: 200 ms and more.
const SLEEPS: u32 = 40;

/// How late it may wake on average, in terms of what it does when nothing else is to be done.
const LATE: u32 = 3;

/// What counts as nothing at least: timers are not more exact.
const EXACT: Duration = Duration::from_micros(60);

/// Bulk work never takes less of its time than this.
const LEAST: f64 = 0.05;

/// For how long after a live batch bulk work rests.
const REMEMBERED: Duration = Duration::from_mins(1);

/// Longest rest at a time.
const LONGEST: Duration = Duration::from_secs(1);

/// What is known of the pressure. Clones of the [`Arc`] share it; the thread ends with the last of them.
#[derive(Debug)]
pub(super) struct Throttle(Mutex<State>);

#[derive(Debug)]
struct State {
    /// The share of its time that bulk work takes.
    share: f64,
    /// How late the thread woke at best.
    quiet: Duration,
    last_live: Option<Instant>,
}

impl State {
    fn is_live(&self, now: Instant) -> bool {
        self.last_live.is_some_and(|at| now.saturating_duration_since(at) < REMEMBERED)
    }
}

impl Throttle {
    /// Begins to feel it.
    pub(super) fn begin() -> io::Result<Arc<Self>> {
        let pressure =
            Arc::new(Self(Mutex::new(State { share: 1.0, quiet: Duration::MAX, last_live: None })));
        let felt = Arc::downgrade(&pressure);
        thread::Builder::new().name("pressure".to_owned()).spawn(move || feel(&felt))?;
        Ok(pressure)
    }

    fn state(&self) -> std::sync::MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A live batch begins.
    pub(super) fn live(&self, now: Instant) {
        self.state().last_live = Some(now);
    }

    /// Whether live work is about.
    pub(super) fn is_live(&self, now: Instant) -> bool {
        self.state().is_live(now)
    }

    /// How long bulk work rests that has worked for so long.
    pub(super) fn rest(&self, worked: Duration, now: Instant) -> Duration {
        let state = self.state();
        if state.is_live(now) { worked.mul_f64(1.0 / state.share - 1.0).min(LONGEST) } else { Duration::ZERO }
    }

    /// Adapts the share to how late the thread woke on average.
    fn adapt(&self, late: Duration) {
        let mut state = self.state();
        state.quiet = state.quiet.min(late.max(EXACT));
        let is_late = late > state.quiet * LATE;
        state.share = if is_late { (state.share * 0.85).max(LEAST) } else { (state.share + 0.02).min(1.0) };
    }
}

fn feel(pressure: &Weak<Throttle>) {
    loop {
        let began = Instant::now();
        for _ in 0..SLEEPS {
            thread::sleep(SLEEP);
        }
        let late = began.elapsed().saturating_sub(SLEEP * SLEEPS) / SLEEPS;
        let Some(pressure) = pressure.upgrade() else { return };
        pressure.adapt(late);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const QUIET: Duration = Duration::from_micros(100);
    const BUSY: Duration = Duration::from_micros(350);
    const WORKED: Duration = Duration::from_millis(100);

    /// Pressure that knows what quiet is.
    fn pressure() -> (Throttle, Instant) {
        let pressure = Throttle(Mutex::new(State { share: 1.0, quiet: Duration::MAX, last_live: None }));
        pressure.adapt(QUIET);
        (pressure, Instant::now())
    }

    #[test]
    fn bulk_work_rests_the_more_the_longer_others_wake_late() {
        let (pressure, now) = pressure();
        pressure.live(now);
        assert_eq!(pressure.rest(WORKED, now), Duration::ZERO);
        let mut before = Duration::ZERO;
        for _ in 0..10 {
            pressure.adapt(BUSY);
            let rest = pressure.rest(WORKED, now);
            assert!(rest > before, "{rest:?}");
            before = rest;
        }
        for _ in 0..1_000 {
            pressure.adapt(BUSY);
        }
        // It goes on all the same.
        assert_eq!(pressure.rest(Duration::from_millis(10), now).as_millis(), 190);
        assert_eq!(pressure.rest(Duration::from_mins(1), now), LONGEST);
        for _ in 0..50 {
            pressure.adapt(QUIET);
        }
        assert_eq!(pressure.rest(WORKED, now), Duration::ZERO);
    }

    #[test]
    fn a_clock_that_is_more_exact_than_most_makes_nobody_rest() {
        let (pressure, now) = pressure();
        pressure.live(now);
        pressure.adapt(Duration::from_nanos(1));
        pressure.adapt(QUIET);
        assert_eq!(pressure.rest(WORKED, now), Duration::ZERO);
    }

    #[test]
    fn without_live_applications_bulk_work_takes_all_its_time() {
        let (pressure, now) = pressure();
        pressure.adapt(BUSY);
        assert_eq!(pressure.rest(WORKED, now), Duration::ZERO);
        pressure.live(now);
        assert!(pressure.rest(WORKED, now) > Duration::ZERO);
        assert_eq!(pressure.rest(WORKED, now + REMEMBERED), Duration::ZERO);
    }

    #[test]
    fn the_thread_feels_the_quiet_and_ends_with_what_it_tells() {
        let pressure = Throttle::begin().unwrap();
        let (began, felt) = (Instant::now(), Arc::downgrade(&pressure));
        while pressure.state().quiet == Duration::MAX {
            assert!(began.elapsed() < Duration::from_mins(1));
            thread::yield_now();
        }
        drop(pressure);
        while felt.strong_count() > 0 {
            assert!(began.elapsed() < Duration::from_mins(1));
            thread::yield_now();
        }
    }
}
