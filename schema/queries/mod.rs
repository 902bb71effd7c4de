pub mod issue;
pub mod run_selection;
pub mod status;
pub mod unfinished;
