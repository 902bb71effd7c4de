//! Live work goes first.
//!
//! The lanes have queues and consumers of their own, and share the processor: a night that is driven faster than the machine can follow
//! keeps it busy, and a live application would wait its turn at every stage. So before each portion of a bulk batch a runner gives way
//! to the live batches that are under way in its process; not for long, so that a busy day does not keep a run from ending. Of those of
//! another process, and of the database and the broker that work for them, it knows nothing. So a process that works for others has threads
//! of its own for bulk work ([`Priority::with_threads`]): the system gives them the processor last (not never, because what they hold,
//! others may wait for), they keep every other core free while live work is about, and they rest as the machine is pressed
//! ([`super::throttle`]). Where no live work is about, bulk work has all there is.

use std::{
    future::Future,
    io,
    num::NonZero,
    sync::Arc,
    thread,
    time::{Duration, Instant},
};

use tokio::{
    runtime::{self, Runtime},
    sync::{Semaphore, SemaphorePermit, watch},
    task::JoinSet,
};

use super::throttle::Throttle;
use crate::broker::Lane;

/// Longest that a portion of bulk work waits.
const PATIENCE: Duration = Duration::from_millis(250);

/// The nice value of threads for bulk work: a tenth of the processor beside a thread that wants all of it.
const NICE: i32 = 10;

/// Which lane goes first, and on which threads. Clones share it.
#[derive(Debug, Clone)]
pub struct Priority {
    /// How many live batches are under way in this process.
    live: watch::Sender<usize>,
    threads: Option<Arc<Threads>>,
}

impl Default for Priority {
    fn default() -> Self {
        Self { live: watch::channel(0).0, threads: None }
    }
}

/// Threads for bulk work: those that wait, and those that reckon.
#[derive(Debug)]
struct Threads {
    waiting: Option<Runtime>,
    /// One for each core.
    all: rayon::ThreadPool,
    /// One for every other core.
    few: rayon::ThreadPool,
    /// While live work is about: how many batches reckon, or have the database work for them, at a time.
    hands: Semaphore,
    pressure: Arc<Throttle>,
}

impl Drop for Threads {
    fn drop(&mut self) {
        // Waiting for them here could hold up other work of the thread that drops this.
        if let Some(runtime) = self.waiting.take() {
            runtime.shutdown_background();
        }
    }
}

/// Gives the calling thread a nice value: one for all threads of a kind, because a thread begins with that of the one that starts it.
/// Where that cannot be done for one thread alone, it is left.
#[cfg_attr(not(target_os = "linux"), expect(unused_variables, reason = "the value is the process's there"))]
fn set_nice(nice: i32) {
    #[cfg(target_os = "linux")]
    if let Err(error) = rustix::process::setpriority_process(None, nice) {
        tracing::debug!(error = %error, "A thread for bulk work keeps its priority");
    }
}

/// A live batch under way, until it is dropped.
pub(super) struct Live(watch::Sender<usize>);

impl Drop for Live {
    fn drop(&mut self) {
        self.0.send_modify(|live| *live -= 1);
    }
}

impl Priority {
    /// With threads for bulk work that stand behind those of every other process, too.
    pub fn with_threads() -> io::Result<Self> {
        let cores = thread::available_parallelism().map_or(1, NonZero::get);
        let nice = rustix::process::getpriority_process(None)?.saturating_add(NICE);
        let waiting = runtime::Builder::new_multi_thread()
            .enable_all()
            .thread_name("bulk")
            .on_thread_start(move || set_nice(nice))
            .build()?;
        let reckoning = |count| {
            rayon::ThreadPoolBuilder::new()
                .num_threads(count)
                .thread_name(move |number| format!("bulk-{number}/{count}"))
                .start_handler(move |_| set_nice(nice))
                .build()
                .map_err(io::Error::other)
        };
        let (all, few, hands) =
            (reckoning(cores)?, reckoning(cores.div_ceil(2))?, Semaphore::new(cores.div_ceil(2)));
        let threads = Threads { waiting: Some(waiting), all, few, hands, pressure: Throttle::begin()? };
        Ok(Self { threads: Some(Arc::new(threads)), ..Self::default() })
    }

    /// Runs a task on the threads of its lane.
    pub(crate) fn spawn(
        &self,
        lane: Lane,
        task: impl Future<Output = ()> + Send + 'static,
        tasks: &mut JoinSet<()>,
    ) {
        match self.threads_of(lane).and_then(|threads| threads.waiting.as_ref()) {
            Some(runtime) => tasks.spawn_on(task, runtime.handle()),
            None => tasks.spawn(task),
        };
    }

    /// Does work in parallel on the threads of its lane.
    pub(super) fn reckon<T: Send>(&self, lane: Lane, work: impl FnOnce() -> T + Send) -> T {
        match self.threads_of(lane) {
            Some(threads) if threads.pressure.is_live(Instant::now()) => threads.few.install(work),
            Some(threads) => threads.all.install(work),
            None => work(),
        }
    }

    /// Waits until work of the lane may take a processor, until what is returned is dropped.
    pub(super) async fn hand(&self, lane: Lane) -> Option<SemaphorePermit<'_>> {
        let threads = self.threads_of(lane).filter(|threads| threads.pressure.is_live(Instant::now()))?;
        // The semaphore is never closed.
        threads.hands.acquire().await.ok()
    }

    fn threads_of(&self, lane: Lane) -> Option<&Threads> {
        self.threads.as_deref().filter(|_| lane == Lane::Bulk)
    }

    /// A live batch begins.
    pub(super) fn take(&self) -> Live {
        if let Some(threads) = &self.threads {
            threads.pressure.live(Instant::now());
        }
        self.live.send_modify(|live| *live += 1);
        Live(self.live.clone())
    }

    /// Rests from bulk work that has lasted for so long, as the processor is pressed; then waits until no live batch is under way, or for
    /// as long as bulk work is patient.
    pub(super) async fn give_way(&self, worked: Duration) {
        let rest = self
            .threads
            .as_ref()
            .map_or(Duration::ZERO, |threads| threads.pressure.rest(worked, Instant::now()));
        if !rest.is_zero() {
            tokio::time::sleep(rest).await;
        }
        let mut live = self.live.subscribe();
        let _ = tokio::time::timeout(PATIENCE, live.wait_for(|live| *live == 0)).await;
    }
}

#[cfg(test)]
mod tests {
    use futures_util::FutureExt;

    use super::*;

    #[tokio::test]
    async fn bulk_work_waits_for_live_batches_and_not_for_ever() {
        let precedence = Priority::default();
        assert_eq!(precedence.give_way(Duration::ZERO).now_or_never(), Some(()));
        let (first, second) = (precedence.take(), precedence.clone().take());
        let mut waiting = Box::pin(precedence.give_way(Duration::ZERO));
        assert_eq!((&mut waiting).now_or_never(), None);
        drop(first);
        assert_eq!((&mut waiting).now_or_never(), None);
        drop(second);
        assert_eq!(waiting.now_or_never(), Some(()));
        let _third = precedence.take();
        let began = Instant::now();
        precedence.give_way(Duration::ZERO).await;
        assert!(began.elapsed() >= PATIENCE);
    }

    /// The nice value of the calling thread.
    fn nice() -> i32 {
        rustix::process::getpriority_process(None).unwrap()
    }

    #[test]
    #[cfg(target_os = "linux")]
    fn bulk_work_has_threads_that_stand_behind_others() {
        let outside = runtime::Builder::new_current_thread().build().unwrap();
        let (precedence, usual) = (Priority::with_threads().unwrap(), nice());
        for (lane, expected) in [(Lane::Live, usual), (Lane::Bulk, usual + NICE)] {
            let (tell, told) = std::sync::mpsc::channel();
            let reckoning = precedence.clone();
            let task = async move {
                let blocking = tokio::task::spawn_blocking(nice).await.unwrap();
                tell.send([nice(), blocking, reckoning.reckon(lane, nice)]).unwrap();
            };
            let mut tasks = JoinSet::new();
            let _in_runtime = outside.enter();
            precedence.spawn(lane, task, &mut tasks);
            outside.block_on(tasks.join_next()).unwrap().unwrap();
            assert_eq!(told.recv().unwrap(), [expected; 3], "{lane:?}");
        }
        assert_eq!(nice(), usual);
    }
}
