//! An upstream system that enqueues applications.

use hosho::broker::{Destination, Envelope, History, Lane, Outgoing};

/// An application as its sender publishes it, without the program's headers.
pub fn application(id: &str, payload: Vec<u8>) -> Outgoing {
    Outgoing {
        destination: Destination::Stage(hosho::stages::validate::NAME, Lane::Live),
        envelope: Envelope {
            message_id: Some(id.to_owned()),
            message_type: Some("application.v1".to_owned()),
            correlation_id: None,
            traceparent: None,
            history: History::default(),
            payload,
        },
    }
}
