//! Processor time and memory of processes, read from `/proc`.

use std::{
    collections::{BTreeMap, HashMap},
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, Ordering},
    },
    thread::JoinHandle,
    time::Duration,
};

/// Ticks of `/proc/PID/stat` in a second (`USER_HZ`).
const TICKS: f64 = 100.0;

/// A group of processes: its name and the roots of its trees.
pub(crate) type Group = (&'static str, Vec<u32>);

struct Process {
    parent: u32,
    /// Seconds of processor time, that of exited children included.
    seconds: f64,
}

fn all() -> HashMap<u32, Process> {
    let names = std::fs::read_dir("/proc")
        .unwrap()
        .filter_map(|entry| entry.ok()?.file_name().to_str()?.parse::<u32>().ok());
    names
        .filter_map(|pid| {
            let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
            let fields: Vec<&str> = stat.rsplit_once(')')?.1.split_whitespace().collect();
            // utime, stime, cutime, cstime.
            let ticks: u32 = fields[11..15].iter().filter_map(|field| field.parse::<u32>().ok()).sum();
            Some((pid, Process { parent: fields[1].parse().ok()?, seconds: f64::from(ticks) / TICKS }))
        })
        .collect()
}

fn tree(processes: &HashMap<u32, Process>, roots: &[u32]) -> Vec<u32> {
    let is_below = |pid: u32| {
        let mut at = Some(pid);
        while let Some(pid) = at {
            if roots.contains(&pid) {
                return true;
            }
            at = processes.get(&pid).map(|process| process.parent).filter(|parent| *parent > 1);
        }
        false
    };
    processes.keys().copied().filter(|pid| is_below(*pid)).collect()
}

/// Processor time of each group so far, in seconds.
pub(crate) fn seconds(groups: &[Group]) -> BTreeMap<&'static str, f64> {
    let processes = all();
    let of = |roots: &[u32]| tree(&processes, roots).iter().map(|pid| processes[pid].seconds).sum();
    groups.iter().map(|(name, roots)| (*name, of(roots))).collect()
}

/// Proportional set size (PSS) of a tree, in bytes.
pub(crate) fn memory(roots: &[u32]) -> u64 {
    let of = |pid: u32| {
        let rollup = std::fs::read_to_string(format!("/proc/{pid}/smaps_rollup")).ok()?;
        let line = rollup.lines().find(|line| line.starts_with("Pss:"))?;
        line.split_whitespace().nth(1)?.parse::<u64>().ok()
    };
    tree(&all(), roots).into_iter().filter_map(of).sum::<u64>() * 1024
}

/// Samples the memory of groups in a thread.
pub(crate) struct MemorySampler {
    stop: Arc<AtomicBool>,
    peaks: Arc<Mutex<BTreeMap<&'static str, u64>>>,
    thread: JoinHandle<()>,
}

impl MemorySampler {
    pub(crate) fn start(groups: &[Group]) -> Self {
        let (stop, peaks) = (Arc::new(AtomicBool::new(false)), Arc::new(Mutex::new(BTreeMap::new())));
        let (stopped, samples, groups) = (Arc::clone(&stop), Arc::clone(&peaks), groups.to_vec());
        let thread = std::thread::spawn(move || {
            while !stopped.load(Ordering::Relaxed) {
                for (name, roots) in &groups {
                    let now = memory(roots);
                    let mut peaks = samples.lock().unwrap();
                    let peak = peaks.entry(*name).or_insert(0);
                    *peak = now.max(*peak);
                }
                std::thread::sleep(Duration::from_millis(500));
            }
        });
        Self { stop, peaks, thread }
    }

    /// Peak memory of each group, in bytes.
    pub(crate) fn stop(self) -> BTreeMap<&'static str, u64> {
        self.stop.store(true, Ordering::Relaxed);
        self.thread.join().unwrap();
        self.peaks.lock().unwrap().clone()
    }
}
