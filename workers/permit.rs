//! Permission to begin one more external effect while a batch is in flight.

use std::sync::Arc;

use crate::fault::{Fault, Reason, Result};

/// Ends when the process stops, the stage is paused or the batch is held too long.
#[derive(Clone)]
pub struct Permit(Arc<dyn Fn() -> Option<&'static str> + Send + Sync>);

impl Permit {
    /// Valid until `end` returns a reason.
    pub fn until(end: impl Fn() -> Option<&'static str> + Send + Sync + 'static) -> Self {
        Self(Arc::new(end))
    }

    pub fn unlimited() -> Self {
        Self::until(|| None)
    }

    /// Fails with [`Reason::Stopping`] once the permit has ended.
    pub fn check(&self) -> Result<()> {
        (self.0)().map_or(Ok(()), |why| Err(Fault::new(Reason::Stopping, why)))
    }
}
