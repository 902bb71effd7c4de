//! Decodes bodies. A fault names the place only: a payload may hold anything.

use hosho_schema::messages::{self, DecodeError, Message};

use crate::fault::{Fault, Reason};

/// Decodes a message between stages.
pub fn decode<M: Message>(payload: &[u8]) -> Result<M, Fault> {
    messages::decode(payload).map_err(|error| undecodable(&error))
}

/// The fault of a body that is not the message it should be.
pub fn undecodable(error: &DecodeError) -> Fault {
    let text = match error {
        DecodeError::NotJson { problem, line, column } => {
            format!("the body is not JSON: {problem} (line {line}, column {column})")
        }
        DecodeError::Shape { .. } => "the body is JSON, but not a message of this stage".to_owned(),
    };
    Fault::new(Reason::Undecodable, text)
}
