//! Live work goes first.
//!
//! The lanes have separate queues and consumers, and share the processor: a nightly run faster than the
//! machine keeps it busy, and a live application would wait at every stage. So a runner lets the live batches
//! in flight in its process go first before each chunk of a bulk batch; with a limit, so that a busy day does
//! not stop a run. It does not see live batches of other processes, nor the database and broker that work for
//! them. So a worker process has separate threads for bulk work ([`Priority::with_threads`]): the operating
//! system schedules them last (but not never, because others may wait for what they hold), they keep every
//! other core free while live work is in flight, and they pause under load (`super::throttle`). Without
//! live work, bulk work uses the whole machine.

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

/// How long a chunk of bulk work waits for live batches at most.
const MAX_WAIT: Duration = Duration::from_millis(250);

/// For threads of bulk work: a tenth of the processor beside a busy thread.
const NICE: i32 = 10;

/// Which lane goes first, and on which threads. Clones share state.
#[derive(Debug, Clone)]
pub struct Priority {
    live: watch::Sender<usize>,
    threads: Option<Arc<Threads>>,
}

impl Default for Priority {
    fn default() -> Self {
        Self { live: watch::channel(0).0, threads: None }
    }
}

/// Threads for bulk work: async tasks, and CPU work.
#[derive(Debug)]
struct Threads {
    runtime: Option<Runtime>,
    /// One for each core.
    all: rayon::ThreadPool,
    /// One for every other core.
    few: rayon::ThreadPool,
    /// Batches that compute or use the database together while live work is in flight.
    permits: Semaphore,
    throttle: Arc<Throttle>,
}

impl Drop for Threads {
    fn drop(&mut self) {
        // Waiting for the threads here could block the thread that drops this.
        if let Some(runtime) = self.runtime.take() {
            runtime.shutdown_background();
        }
    }
}

/// Sets the nice value of the calling thread.
/// It is the same for all threads of a pool, because a thread inherits that of its parent. Does nothing where
/// a single thread has no nice value.
#[cfg_attr(not(target_os = "linux"), expect(unused_variables, reason = "the value is the process's there"))]
fn set_nice(nice: i32) {
    #[cfg(target_os = "linux")]
    if let Err(error) = rustix::process::setpriority_process(None, nice) {
        tracing::debug!(error = %error, "Thread priority not lowered");
    }
}

/// A live batch in flight, until it is dropped.
pub(super) struct LiveBatch(watch::Sender<usize>);

impl Drop for LiveBatch {
    fn drop(&mut self) {
        self.0.send_modify(|live| *live -= 1);
    }
}

impl Priority {
    /// With threads for bulk work, of lower priority than those of every other process.
    pub fn with_threads() -> io::Result<Self> {
        let cores = thread::available_parallelism().map_or(1, NonZero::get);
        let nice = rustix::process::getpriority_process(None)?.saturating_add(NICE);
        let runtime = runtime::Builder::new_multi_thread()
            .enable_all()
            .thread_name("bulk")
            .on_thread_start(move || set_nice(nice))
            .build()?;
        let pool = |count| {
            rayon::ThreadPoolBuilder::new()
                .num_threads(count)
                .thread_name(move |number| format!("bulk-{number}/{count}"))
                .start_handler(move |_| set_nice(nice))
                .build()
                .map_err(io::Error::other)
        };
        let half = cores.div_ceil(2);
        let threads = Threads {
            runtime: Some(runtime),
            all: pool(cores)?,
            few: pool(half)?,
            permits: Semaphore::new(half),
            throttle: Throttle::begin()?,
        };
        Ok(Self { threads: Some(Arc::new(threads)), ..Self::default() })
    }

    /// Runs a task on the threads of its lane.
    pub(crate) fn spawn(
        &self,
        lane: Lane,
        task: impl Future<Output = ()> + Send + 'static,
        tasks: &mut JoinSet<()>,
    ) {
        match self.threads_of(lane).and_then(|threads| threads.runtime.as_ref()) {
            Some(runtime) => tasks.spawn_on(task, runtime.handle()),
            None => tasks.spawn(task),
        };
    }

    /// Runs rayon work on the threads of its lane.
    pub(super) fn run_parallel<T: Send>(&self, lane: Lane, work: impl FnOnce() -> T + Send) -> T {
        match self.threads_of(lane) {
            Some(threads) if threads.throttle.is_live(Instant::now()) => threads.few.install(work),
            Some(threads) => threads.all.install(work),
            None => work(),
        }
    }

    /// Waits for a permit to use a processor; live work needs none.
    pub(super) async fn permit(&self, lane: Lane) -> Option<SemaphorePermit<'_>> {
        let threads = self.threads_of(lane).filter(|threads| threads.throttle.is_live(Instant::now()))?;
        // The semaphore is never closed.
        threads.permits.acquire().await.ok()
    }

    fn threads_of(&self, lane: Lane) -> Option<&Threads> {
        self.threads.as_deref().filter(|_| lane == Lane::Bulk)
    }

    pub(super) fn begin_live_batch(&self) -> LiveBatch {
        if let Some(threads) = &self.threads {
            threads.throttle.live_batch_began(Instant::now());
        }
        self.live.send_modify(|live| *live += 1);
        LiveBatch(self.live.clone())
    }

    /// Pauses after bulk work of the duration `worked`, depending on the load.
    /// Then waits until no live batch is in flight, or for [`MAX_WAIT`].
    pub(super) async fn give_way(&self, worked: Duration) {
        let pause = self
            .threads
            .as_ref()
            .map_or(Duration::ZERO, |threads| threads.throttle.pause(worked, Instant::now()));
        if !pause.is_zero() {
            tokio::time::sleep(pause).await;
        }
        let mut live = self.live.subscribe();
        let _ = tokio::time::timeout(MAX_WAIT, live.wait_for(|live| *live == 0)).await;
    }
}

#[cfg(test)]
mod tests {
    use futures_util::FutureExt;

    use super::*;

    #[tokio::test]
    async fn bulk_work_waits_for_live_work_until_limit() {
        let priority = Priority::default();
        assert_eq!(priority.give_way(Duration::ZERO).now_or_never(), Some(()));
        let (first, second) = (priority.begin_live_batch(), priority.clone().begin_live_batch());
        let mut waiting = Box::pin(priority.give_way(Duration::ZERO));
        assert_eq!((&mut waiting).now_or_never(), None);
        drop(first);
        assert_eq!((&mut waiting).now_or_never(), None);
        drop(second);
        assert_eq!(waiting.now_or_never(), Some(()));
        let _third = priority.begin_live_batch();
        let began = Instant::now();
        priority.give_way(Duration::ZERO).await;
        assert!(began.elapsed() >= MAX_WAIT);
    }

    /// The nice value of the calling thread.
    fn nice() -> i32 {
        rustix::process::getpriority_process(None).unwrap()
    }

    #[test]
    #[cfg(target_os = "linux")]
    fn bulk_threads_have_a_lower_priority() {
        let outside = runtime::Builder::new_current_thread().build().unwrap();
        let (priority, usual) = (Priority::with_threads().unwrap(), nice());
        for (lane, expected) in [(Lane::Live, usual), (Lane::Bulk, usual + NICE)] {
            let (sender, results) = std::sync::mpsc::channel();
            let of_task = priority.clone();
            let task = async move {
                let blocking = tokio::task::spawn_blocking(nice).await.unwrap();
                sender.send([nice(), blocking, of_task.run_parallel(lane, nice)]).unwrap();
            };
            let mut tasks = JoinSet::new();
            let _in_runtime = outside.enter();
            priority.spawn(lane, task, &mut tasks);
            outside.block_on(tasks.join_next()).unwrap().unwrap();
            assert_eq!(results.recv().unwrap(), [expected; 3], "{lane:?}");
        }
        assert_eq!(nice(), usual);
    }
}
