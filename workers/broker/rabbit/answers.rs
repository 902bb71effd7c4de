//! Waits for answers of the broker, and reads the errors among them.

use std::{error::Error as StdError, future::Future, time::Duration};

use lapin::{
    Channel, ErrorKind,
    options::QueueDeclareOptions,
    types::{AMQPValue, FieldTable, ShortString},
};
use tokio::time::timeout;

use crate::broker::BrokerError;

/// How long the broker may take to answer one question.
pub(super) const ANSWER_LIMIT: Duration = Duration::from_secs(10);

/// AMQP reply code: the queue or exchange does not exist.
pub(super) const ACCESS_REFUSED: u16 = 403;
pub(super) const NOT_FOUND: u16 = 404;

/// AMQP reply code: it exists with other settings.
pub(super) const PRECONDITION_FAILED: u16 = 406;

/// Waits for an answer of the broker, with the usual limit.
pub(super) async fn answer<T>(
    operation: impl Into<String>,
    answer: impl Future<Output = Result<T, lapin::Error>>,
) -> Result<T, BrokerError> {
    within(ANSWER_LIMIT, operation, answer).await
}

/// Waits for lapin with a time limit and says what was attempted when it fails.
pub(super) async fn within<T>(
    limit: Duration,
    operation: impl Into<String>,
    answer: impl Future<Output = Result<T, lapin::Error>>,
) -> Result<T, BrokerError> {
    match timeout(limit, answer).await {
        Ok(Ok(value)) => Ok(value),
        Ok(Err(error)) => Err(if let Some((_, text)) = topology_fault(&error) {
            BrokerError::Topology(text)
        } else if let Some(problem) = denied(&error) {
            BrokerError::Denied { operation: operation.into(), problem }
        } else {
            unavailable(operation, error)
        }),
        Err(_) => Err(silent(operation, limit)),
    }
}

/// The reply code and text if something is missing or has other settings.
pub(super) fn topology_fault(error: &lapin::Error) -> Option<(u16, String)> {
    match error.kind() {
        ErrorKind::ProtocolError(fault) if matches!(fault.get_id(), NOT_FOUND | PRECONDITION_FAILED) => {
            Some((fault.get_id(), fault.get_message().to_string()))
        }
        _ => None,
    }
}

/// The broker's text when it refused the login or a permission (AMQP 403).
/// It names the object; newer versions also name the permission.
pub(super) fn denied(error: &lapin::Error) -> Option<String> {
    match error.kind() {
        ErrorKind::ProtocolError(fault) if fault.get_id() == ACCESS_REFUSED => {
            let text = fault.get_message().to_string();
            Some(text.trim_start_matches("ACCESS_REFUSED - ").to_owned())
        }
        _ => None,
    }
}

pub(super) fn unavailable(
    operation: impl Into<String>,
    source: impl Into<Box<dyn StdError + Send + Sync>>,
) -> BrokerError {
    BrokerError::Unavailable { operation: operation.into(), source: source.into() }
}

pub(super) fn silent(operation: impl Into<String>, limit: Duration) -> BrokerError {
    unavailable(operation, format!("no answer within {} s", limit.as_secs()))
}

/// Declares a queue that lives as long as the connection.
pub(super) async fn temporary_queue(
    channel: &Channel,
    operation: &str,
    arguments: &[(&str, AMQPValue)],
) -> Result<ShortString, BrokerError> {
    let mut table = FieldTable::default();
    // A virtual host may have another default; a quorum queue cannot be exclusive.
    table.insert(short("x-queue-type"), AMQPValue::LongString("classic".into()));
    for (name, value) in arguments {
        table.insert(short(name), value.clone());
    }
    let options = QueueDeclareOptions { exclusive: true, auto_delete: true, ..Default::default() };
    Ok(answer(operation, channel.queue_declare(short(""), options, table)).await?.name().clone())
}

/// Makes the short string of AMQP from a name of ours, cut at 255 bytes.
/// The broker refuses a cut name as unknown; a longer one would be a panic in lapin.
pub(super) fn short(name: &str) -> ShortString {
    ShortString::from(cut(name, lapin::types::MAX_SHORT_STRING_LENGTH))
}

/// The longest start of at most `bytes` that ends between two characters.
pub(super) fn cut(text: &str, bytes: usize) -> &str {
    if text.len() <= bytes {
        return text;
    }
    let end = text.char_indices().map(|(at, _)| at).take_while(|at| *at <= bytes).last().unwrap_or(0);
    &text[..end]
}
