//! The names and limits of our queues and exchanges, the same for every broker.

use super::{Destination, Lane, RetryDelay, Source};

/// Deliveries of a stage's message before the broker dead-letters it.
pub(super) const DELIVERY_LIMIT: u32 = 30;

#[derive(Debug, Clone)]
pub(super) struct Names {
    pub(super) prefix: String,
    pub(super) stages: Vec<&'static str>,
}

impl Names {
    pub(super) fn new(prefix: &str, stages: &[&'static str]) -> Self {
        Self { prefix: prefix.to_owned(), stages: stages.to_vec() }
    }

    pub(super) fn with(&self, name: &str) -> String {
        format!("{}{name}", self.prefix)
    }

    pub(super) fn events(&self) -> String {
        self.with("events")
    }

    /// The queue of a source; for events, their exchange.
    pub(super) fn source(&self, source: Source) -> String {
        match source {
            Source::Stage(stage, lane) => format!("{}stage.{}", self.prefix, stage_key(stage, lane)),
            Source::Dead => self.with("dead"),
            Source::Unrouted => self.with("unrouted"),
            Source::Events => self.events(),
        }
    }

    pub(super) fn destination(&self, destination: &Destination) -> (String, String) {
        match destination {
            Destination::Stage(stage, lane) => (self.with("work"), stage_key(stage, *lane)),
            Destination::Wait(stage, lane, delay) => (self.wait(*delay), stage_key(stage, *lane)),
            Destination::Dead(stage) => (self.with("dead"), (*stage).to_owned()),
            Destination::Event(key) => (self.events(), (*key).to_owned()),
        }
    }

    pub(super) fn wait(&self, delay: RetryDelay) -> String {
        format!("{}wait.{}", self.prefix, delay.name())
    }

    /// Every queue: stages, waiting ones, dead letters, unrouted.
    pub(super) fn queues(&self) -> Vec<String> {
        let stages = self
            .stages
            .iter()
            .flat_map(|stage| [Lane::Live, Lane::Bulk].map(|lane| self.source(Source::Stage(stage, lane))));
        let waiting = RetryDelay::ALL.iter().map(|delay| self.wait(*delay));
        stages.chain(waiting).chain([self.source(Source::Dead), self.source(Source::Unrouted)]).collect()
    }
}

/// The routing key of a stage: `issue`, or `issue.bulk`.
pub(super) fn stage_key(stage: &str, lane: Lane) -> String {
    match lane {
        Lane::Live => stage.to_owned(),
        Lane::Bulk => format!("{stage}.bulk"),
    }
}

/// Reduces a routing key to the name of its stage.
pub(super) fn drop_lane(routing_key: &mut String) {
    let stage = routing_key.trim_end_matches(".bulk").len();
    routing_key.truncate(stage);
}
