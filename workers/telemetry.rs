//! Logging (`tracing`), and the W3C trace context that travels with every message.
//!
//! A log line is a sentence that reads alone plus dotted fields (`guarantee.number`, `batch.size`,
//! `duration_ms`), to standard error. Names, addresses, mail addresses, keys and bodies are never fields:
//! types that hold them print masked or not at all.
//!
//! The trace of an application is that of its `traceparent` header. If the sender sets none, it is derived
//! from the message id (or from the body, without an id), so that a redelivery joins the same trace. Span ids
//! are derived from the message id for the same reason. That keeps every republished message identical to the
//! first.
//!
//! The text of a panic may quote personal data, so only its place in the source is logged.
//!
//! Below `info` only our own crates log, whatever the filter says: at `debug` the template engine logs every
//! value it renders, authentication keys included, and the mail and queue clients log their dialogues. A list
//! of the crates that do so was rejected: it would be right until the next update.

use std::{cell::RefCell, fmt, panic};

use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use tracing::{Level, Metadata};
use tracing_subscriber::{
    filter::{LevelFilter, Targets, filter_fn},
    layer::SubscriberExt as _,
    util::SubscriberInitExt as _,
};

#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum LogFormat {
    Text,
    /// One JSON object per line.
    Json,
}

/// Starts logging for this process. A second call changes nothing.
///
/// # Errors
/// `level` is not a filter; the text names the setting.
pub fn start(level: &str, format: LogFormat) -> Result<(), String> {
    let filter = filter(level).ok_or_else(|| {
        format!(
            "log.level: {level:?} is not allowed; use error, warn, info, debug or trace, or hosho=debug,info"
        )
    })?;
    let builder = tracing_subscriber::fmt().with_max_level(Level::TRACE).with_writer(std::io::stderr);
    let started = match format {
        LogFormat::Json => {
            let builder = builder.json().flatten_event(true).with_current_span(true).with_span_list(false);
            builder.finish().with(filter).with(filter_fn(may_be_logged)).try_init()
        }
        LogFormat::Text => {
            let builder =
                builder.with_ansi(std::io::IsTerminal::is_terminal(&std::io::stderr())).with_target(false);
            builder.finish().with(filter).with(filter_fn(may_be_logged)).try_init()
        }
    };
    drop(started); // the only failure is a logger set before, as in tests
    panic::set_hook(Box::new(|info| {
        let place = info.location().map_or_else(|| "an unknown place".to_owned(), ToString::to_string);
        tracing::error!(panic.place = place, "Panic; text withheld because it may hold personal data");
        PLACE_OF_PANIC.set(Some(place));
    }));
    Ok(())
}

/// Reads a filter.
/// [`Targets`] alone takes a misspelt level for the name of a module, and then nothing is logged.
fn filter(level: &str) -> Option<Targets> {
    let is_directive = |text: &str| text.contains('=') || text.trim().parse::<LevelFilter>().is_ok();
    level.split(',').all(is_directive).then(|| level.parse().ok())?
}

/// Whether an event may be logged at all; the configured filter narrows it further.
fn may_be_logged(metadata: &Metadata<'_>) -> bool {
    *metadata.level() <= Level::INFO
        || matches!(metadata.target().split("::").next(), Some("hosho" | "hosho_schema"))
}

thread_local! {
    static PLACE_OF_PANIC: RefCell<Option<String>> = const { RefCell::new(None) };
}

/// Where this thread panicked last (`file:line:column`). Reading it resets it.
pub fn place_of_panic() -> Option<String> {
    PLACE_OF_PANIC.take()
}

/// A W3C trace context (`00-<trace id>-<parent span id>-<flags>`).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Traceparent {
    trace: String,
    span: String,
    flags: String,
}

impl Traceparent {
    /// `None` for a malformed `traceparent` header, as the standard requires.
    pub fn parse(header: &str) -> Option<Self> {
        let mut parts = header.trim().split('-');
        let (version, trace, span, flags) = (parts.next()?, parts.next()?, parts.next()?, parts.next()?);
        let hex = |text: &str, length| {
            text.len() == length && text.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'))
        };
        let zero = |text: &str| text.bytes().all(|byte| byte == b'0');
        let valid = hex(version, 2) && version != "ff" && (version != "00" || parts.next().is_none());
        (valid && hex(trace, 32) && !zero(trace) && hex(span, 16) && !zero(span) && hex(flags, 2))
            .then(|| Self { trace: trace.to_owned(), span: span.to_owned(), flags: flags.to_owned() })
    }

    /// The context of a header, or one derived from `seed`.
    pub fn of(header: Option<&str>, seed: &str) -> Self {
        header.and_then(Self::parse).unwrap_or_else(|| Self::derived(seed))
    }

    /// A context for a message without one, derived from `seed`.
    pub fn derived(seed: &str) -> Self {
        Self {
            trace: hex::encode(&Sha256::digest(format!("trace:{seed}"))[..16]),
            span: span_of(seed),
            flags: "01".to_owned(),
        }
    }

    /// The same trace, with the span of the message `message_id`.
    #[must_use]
    pub fn child(&self, message_id: &str) -> Self {
        Self { trace: self.trace.clone(), span: span_of(message_id), flags: self.flags.clone() }
    }

    pub fn trace_id(&self) -> &str {
        &self.trace
    }
}

impl fmt::Display for Traceparent {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "00-{}-{}-{}", self.trace, self.span, self.flags)
    }
}

fn span_of(seed: &str) -> String {
    hex::encode(&Sha256::digest(format!("span:{seed}"))[..8])
}

#[cfg(test)]
mod tests {
    use super::*;

    const HEADER: &str = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";

    #[test]
    fn rejects_a_misspelt_level() {
        for level in ["info", "WARN", "off", "hosho=debug,info", "hosho=debug, info,lapin=off"] {
            assert!(filter(level).is_some(), "{level}");
        }
        for level in ["xx", "inof", "hosho=debug,inof", "hosho=xx"] {
            assert!(filter(level).is_none(), "{level}");
        }
    }

    #[test]
    fn child_keeps_the_trace_of_its_header() {
        let parent = Traceparent::parse(HEADER).unwrap();
        assert_eq!(parent.to_string(), HEADER);
        let child = parent.child("message");
        assert_eq!(child.trace_id(), parent.trace_id());
        assert_ne!(child, parent);
        assert_eq!(Traceparent::parse(&child.to_string()), Some(child));
    }

    #[test]
    fn rejects_malformed_headers() {
        for header in [
            "",
            "00",
            "00-xyz",
            &HEADER.replace("4bf9", "4BF9"),
            &HEADER.replace("00-4", "ff-4"),
            &format!("{HEADER}-00"),
        ] {
            assert_eq!(Traceparent::parse(header), None, "{header}");
        }
        assert_eq!(Traceparent::parse("00-00000000000000000000000000000000-00f067aa0ba902b7-01"), None);
    }

    #[test]
    fn derives_the_same_context_every_time() {
        assert_eq!(Traceparent::derived("a"), Traceparent::derived("a"));
        assert_ne!(Traceparent::derived("a"), Traceparent::derived("b"));
        assert!(Traceparent::parse(&Traceparent::derived("a").to_string()).is_some());
    }
}
