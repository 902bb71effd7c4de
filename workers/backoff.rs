//! Growing pauses between retries.

use std::time::Duration;

/// 1, 2, 4, 8, 16, 30, 30 … seconds.
#[derive(Debug, Default)]
pub struct Backoff {
    failures: u32,
    least: u64,
}

impl Backoff {
    /// The same, with `seconds` as the shortest pause.
    pub fn at_least(seconds: u64) -> Self {
        Self { failures: 0, least: seconds }
    }

    pub fn next_pause(&mut self) -> Duration {
        let seconds = 1_u64.checked_shl(self.failures).unwrap_or(u64::MAX).clamp(self.least, 30);
        self.failures = self.failures.saturating_add(1);
        Duration::from_secs(seconds)
    }

    pub fn reset(&mut self) {
        self.failures = 0;
    }
}
