//! The stages of applications and of changes.
//!
//! Applications pass `validate → issue → mint → render → dispatch`. Changes pass `amend`, then (at night, or
//! at once) `reissue → mint → render → dispatch`.
//!
//! The list below is the only one: queues, runners and `--stage` follow from it. To add a stage: its file
//! with a line in the list (and the `mod` line above it), and the message that leads to it in
//! `schema/messages/stages.rs`.

pub mod amend;
pub mod dispatch;
#[cfg(test)]
mod harness;
pub mod issue;
pub mod mint;
pub mod reissue;
pub mod render;
pub mod validate;

use std::sync::Arc;

use tokio::task::JoinSet;

use crate::{
    app::App,
    broker::Lane,
    pipeline::{runner::Runner, stage::Stage},
};

macro_rules! stages {
    ($($module:ident: $type:ident),* $(,)?) => {
        /// The wire names of all stages, in the order of the pipeline.
        pub const NAMES: &[&str] = &[$($module::NAME),*];

        /// Calls `visitor` with the stage of that name. `None` if there is no such stage.
        pub fn visit<V: Visitor>(name: &str, app: &App, visitor: V) -> Option<V::Output> {
            $(if name == $module::NAME {
                return Some(visitor.visit($module::$type::new(app)));
            })*
            None
        }
    };
}

stages! {
    validate: Validate,
    issue: Issue,
    mint: Mint,
    render: Render,
    dispatch: Dispatch,
    amend: Amend,
    reissue: Reissue,
}

/// An operation that is generic over stages.
pub trait Visitor {
    type Output;

    fn visit<S: Stage>(self, stage: S) -> Self::Output;
}

/// Starts `concurrency` consumers per lane for one stage.
/// False if there is no such stage.
pub fn start(
    name: &str,
    app: &App,
    runner: &Runner,
    lanes: &[Lane],
    concurrency: usize,
    tasks: &mut JoinSet<()>,
) -> bool {
    visit(name, app, Start { runner, lanes, concurrency, tasks }).is_some()
}

struct Start<'a> {
    runner: &'a Runner,
    lanes: &'a [Lane],
    concurrency: usize,
    tasks: &'a mut JoinSet<()>,
}

impl Visitor for Start<'_> {
    type Output = ();

    fn visit<S: Stage>(self, stage: S) {
        let stage = Arc::new(stage);
        for lane in self.lanes {
            for _ in 0..self.concurrency {
                self.runner.priority.spawn(
                    *lane,
                    self.runner.clone().run(Arc::clone(&stage), *lane),
                    self.tasks,
                );
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lists_every_file_of_the_folder() {
        let folder = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("workers/stages");
        let mut found: Vec<_> = std::fs::read_dir(folder)
            .unwrap()
            .map(|entry| entry.unwrap().path().file_stem().unwrap().to_string_lossy().into_owned())
            .filter(|name| name != "mod" && name != "harness")
            .collect();
        found.sort();
        let mut listed = NAMES.to_vec();
        listed.sort_unstable();
        assert_eq!(found, listed);
    }
}
