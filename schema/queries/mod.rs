//! Queries over several tables: issuing, the state of an application, unfinished work, the selection of a run.

pub mod issue;
pub mod run_selection;
pub mod status;
pub mod unfinished;
