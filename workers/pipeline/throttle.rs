//! Measures the load of the processor and limits the share of time of bulk work.
//!
//! The load is that which live batches experience. A thread that sleeps for a moment, over and over, wakes
//! late when the processor is busy, whether with bulk work of this process or of another, with the database,
//! or with the broker. A live application sleeps and wakes dozens of times on its way. So the later that
//! thread wakes, the longer bulk work pauses: as in congestion control, the share falls fast when it is late
//! and grows slowly when not.
//!
//! Measured: a nightly run with mails by two workers, everything on two cores, live p95 against that of an
//! idle system: 3.7 times without this, 2.6 times with one permit for bulk work ([`super::priority`]) and
//! more guarantees a second, 2.0 times with pauses from 220 µs of lateness on, 1.5 times from 150 µs on.
//! Rejected: threads of low priority alone, because the database and the broker are in scheduler groups of
//! their own, nor with the policy for idle times (1.8 and 2.1 times, and 1.6 to 2.3 without, at 250
//! guarantees a second); batches of a quarter of the size, which cost a fifth more; a fixed rate, which is
//! right for one machine at one time of the day; and, instead of the pauses, 40 ms after each live batch for
//! the next stage of the same application (with two live applications a second: 138 guarantees a second and
//! 2.1 times the p95 with bulk work on half of the cores, 170 and 3.2 times with it on all of them, where the
//! pauses had 157 and 1.8 times).
//!
//! Bulk work pauses at three times the lateness of a quiet machine: with one worker and 8,000 guarantees
//! without mails, 1.8 to 2.3 times the p95, whether 100 or 300 of them were re-issued a second. The rest of
//! it is live applications that meet a batch in the database or the broker. Of a million guarantees 108 a
//! second were re-issued at twice the lateness, for 1.1 times the p95, 222 at three times for 2.1, and 263 at
//! four times for 2.2.

use std::{
    io,
    sync::{Arc, Mutex, PoisonError, Weak},
    thread,
    time::{Duration, Instant},
};

/// One sleep of the thread.
const SLEEP: Duration = Duration::from_millis(5);

/// Sleeps between two changes of the share: 200 ms and more.
const SLEEPS: u32 = 40;

/// The average lateness that counts as busy, as a multiple of a quiet machine's.
const LATE: u32 = 3;

/// The least lateness of a quiet machine: timers are not more exact.
const TIMER_PRECISION: Duration = Duration::from_micros(60);

const MIN_SHARE: f64 = 0.05;

/// How long after a live batch bulk work still pauses.
const REMEMBERED: Duration = Duration::from_mins(1);

const MAX_PAUSE: Duration = Duration::from_secs(1);

/// Clones of the [`Arc`] share it; the thread ends with the last of them.
#[derive(Debug)]
pub(super) struct Throttle(Mutex<State>);

#[derive(Debug)]
struct State {
    /// The share of its time that bulk work takes.
    share: f64,
    quiet: Duration,
    last_live: Option<Instant>,
}

impl State {
    fn is_live(&self, now: Instant) -> bool {
        self.last_live.is_some_and(|at| now.saturating_duration_since(at) < REMEMBERED)
    }
}

impl Throttle {
    pub(super) fn begin() -> io::Result<Arc<Self>> {
        let throttle =
            Arc::new(Self(Mutex::new(State { share: 1.0, quiet: Duration::MAX, last_live: None })));
        let measured = Arc::downgrade(&throttle);
        thread::Builder::new().name("throttle".to_owned()).spawn(move || measure(&measured))?;
        Ok(throttle)
    }

    fn state(&self) -> std::sync::MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn live_batch_began(&self, now: Instant) {
        self.state().last_live = Some(now);
    }

    /// Whether a live batch began within the last minute.
    pub(super) fn is_live(&self, now: Instant) -> bool {
        self.state().is_live(now)
    }

    /// The pause after bulk work of this duration.
    pub(super) fn pause(&self, worked: Duration, now: Instant) -> Duration {
        let state = self.state();
        if state.is_live(now) {
            worked.mul_f64(1.0 / state.share - 1.0).min(MAX_PAUSE)
        } else {
            Duration::ZERO
        }
    }

    /// Adapts the share to how late the thread woke on average.
    fn adapt(&self, late: Duration) {
        let mut state = self.state();
        state.quiet = state.quiet.min(late.max(TIMER_PRECISION));
        let is_late = late > state.quiet * LATE;
        state.share =
            if is_late { (state.share * 0.85).max(MIN_SHARE) } else { (state.share + 0.02).min(1.0) };
    }
}

fn measure(throttle: &Weak<Throttle>) {
    loop {
        let began = Instant::now();
        for _ in 0..SLEEPS {
            thread::sleep(SLEEP);
        }
        let late = began.elapsed().saturating_sub(SLEEP * SLEEPS) / SLEEPS;
        let Some(throttle) = throttle.upgrade() else { return };
        throttle.adapt(late);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const QUIET: Duration = Duration::from_micros(100);
    const BUSY: Duration = Duration::from_micros(350);
    const WORKED: Duration = Duration::from_millis(100);

    /// A throttle that has measured a quiet machine.
    fn measured() -> (Throttle, Instant) {
        let throttle = Throttle(Mutex::new(State { share: 1.0, quiet: Duration::MAX, last_live: None }));
        throttle.adapt(QUIET);
        (throttle, Instant::now())
    }

    #[test]
    fn pauses_grow_while_the_machine_is_busy() {
        let (throttle, now) = measured();
        throttle.live_batch_began(now);
        assert_eq!(throttle.pause(WORKED, now), Duration::ZERO);
        let mut before = Duration::ZERO;
        for _ in 0..10 {
            throttle.adapt(BUSY);
            let pause = throttle.pause(WORKED, now);
            assert!(pause > before, "{pause:?}");
            before = pause;
        }
        for _ in 0..1_000 {
            throttle.adapt(BUSY);
        }
        // The throttle still works.
        assert_eq!(throttle.pause(Duration::from_millis(10), now).as_millis(), 190);
        assert_eq!(throttle.pause(Duration::from_mins(1), now), MAX_PAUSE);
        for _ in 0..50 {
            throttle.adapt(QUIET);
        }
        assert_eq!(throttle.pause(WORKED, now), Duration::ZERO);
    }

    #[test]
    fn exact_timer_causes_no_pause() {
        let (throttle, now) = measured();
        throttle.live_batch_began(now);
        throttle.adapt(Duration::from_nanos(1));
        throttle.adapt(QUIET);
        assert_eq!(throttle.pause(WORKED, now), Duration::ZERO);
    }

    #[test]
    fn bulk_work_without_live_work_never_pauses() {
        let (throttle, now) = measured();
        throttle.adapt(BUSY);
        assert_eq!(throttle.pause(WORKED, now), Duration::ZERO);
        throttle.live_batch_began(now);
        assert!(throttle.pause(WORKED, now) > Duration::ZERO);
        assert_eq!(throttle.pause(WORKED, now + REMEMBERED), Duration::ZERO);
    }

    #[test]
    fn thread_ends_with_its_throttle() {
        let throttle = Throttle::begin().unwrap();
        let (began, measured) = (Instant::now(), Arc::downgrade(&throttle));
        while throttle.state().quiet == Duration::MAX {
            assert!(began.elapsed() < Duration::from_mins(1));
            thread::yield_now();
        }
        drop(throttle);
        while measured.strong_count() > 0 {
            assert!(began.elapsed() < Duration::from_mins(1));
            thread::yield_now();
        }
    }
}
