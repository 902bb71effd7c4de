//! The stages. One file each, all of one shape: `validate → issue → mint → render → dispatch` for applications, and
//! `amend`, then (at night, or at once) `reissue → mint → render → dispatch` for changes.
//!
//! The list below is the only one: queues, runners and `--stage` follow from it. To add a stage: a file here, one line
//! below, and the message type that leads to it (`schema/messages/stages.rs`).

pub mod amend;
pub mod dispatch;
pub mod issue;
pub mod mint;
pub mod reissue;
pub mod render;
#[cfg(test)]
mod trial;
pub mod validate;

use std::sync::Arc;

use tokio::task::JoinSet;

use crate::{
    assembly::Services,
    broker::Lane,
    runner::Runner,
    stage::{Fault, Reason, Stage},
};

macro_rules! stages {
    ($($module:ident: $type:ident),* $(,)?) => {
        /// The wire names of all stages, in the order of the pipeline.
        pub const NAMES: &[&str] = &[$($module::NAME),*];

        /// Makes the stage of that name and hands it to `visitor`. `None` when there is no such stage.
        pub fn visit<V: Visitor>(name: &str, services: &Services, visitor: V) -> Option<V::Output> {
            $(if name == $module::NAME {
                return Some(visitor.visit($module::$type::new(services)));
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

/// What is done with a stage, whichever it is.
pub trait Visitor {
    /// What comes of it.
    type Output;

    /// Does it.
    fn visit<S: Stage>(self, stage: S) -> Self::Output;
}

/// Starts `concurrency` consumers per lane for one stage. False when there is no such stage.
pub fn start(
    name: &str,
    services: &Services,
    runner: &Runner,
    lanes: &[Lane],
    concurrency: usize,
    tasks: &mut JoinSet<()>,
) -> bool {
    visit(name, services, Start { runner, lanes, concurrency, tasks }).is_some()
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
                self.runner.precedence.spawn(
                    *lane,
                    self.runner.clone().run(Arc::clone(&stage), *lane),
                    self.tasks,
                );
            }
        }
    }
}

/// Decodes a message between stages. The text names the place only: a payload may hold anything.
fn decode<S: Stage<Job: hosho_schema::messages::Message>>(payload: &[u8]) -> Result<S::Job, Fault> {
    hosho_schema::messages::decode(payload).map_err(|error| undecodable(&error))
}

fn undecodable(error: &hosho_schema::messages::DecodeError) -> Fault {
    use hosho_schema::messages::DecodeError;
    let text = match error {
        DecodeError::NotJson { problem, line, column } => {
            format!("the body is not JSON: {problem} (line {line}, column {column})")
        }
        DecodeError::Shape { .. } => "the body is JSON, but not a message of this stage".to_owned(),
    };
    Fault::new(Reason::Undecodable, text)
}

pub(crate) fn unreadable(what: &str, error: &serde_json::Error) -> Fault {
    // The category only: the text of a data error quotes the value.
    Fault::new(
        Reason::SnapshotUnreadable,
        format!("the stored {what} cannot be read: {:?} error at line {}", error.classify(), error.line()),
    )
}

/// A row that a message names does not exist. Whoever can publish writes the name, so only an identifier of our own form is
/// repeated.
pub(crate) fn missing(what: &str, id: &str) -> Fault {
    let id = if uuid::Uuid::try_parse(id).is_ok() { id } else { "under the name given" };
    Fault::new(Reason::ReferenceMissing, format!("there is no {what} {id}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_message_names_is_repeated_only_when_it_is_an_identifier() {
        let id = "6f1c1c3e-7f0b-5c53-9c7d-5b8a1d1f0a11";
        assert_eq!(missing("application", id).text, format!("there is no application {id}"));
        assert!(!missing("application", "taro@example.jp").text.contains("taro"));
    }

    #[test]
    fn the_list_is_what_is_on_disk() {
        let folder = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("workers/stages");
        let mut found: Vec<_> = std::fs::read_dir(folder)
            .unwrap()
            .map(|entry| entry.unwrap().path().file_stem().unwrap().to_string_lossy().into_owned())
            .filter(|name| name != "mod" && name != "trial")
            .collect();
        found.sort();
        let mut listed = NAMES.to_vec();
        listed.sort_unstable();
        assert_eq!(found, listed);
    }
}
