//! Our envelope as AMQP properties and headers, and back.
//!
//! Writing is exact; reading is tolerant, because any client may publish: a property may be missing and a
//! header may have any type, and then it counts as absent. Only headers of our own are written: RabbitMQ 3.10
//! silently drops a message that is published again with its `x-death`.

use chrono::{DateTime, Datelike, NaiveDateTime};
use lapin::{
    BasicProperties,
    message::Delivery as Received,
    types::{AMQPValue, FieldTable, ShortString, ShortStringError},
};

use super::answers::{cut, short};
use crate::broker::{Death, Delivery, Envelope, History, Tag};

const TRACEPARENT: &str = "traceparent";
const ATTEMPT: &str = "hosho-attempt";
const FIRST_FAILED_AT: &str = "hosho-first-failed-at";
const FAILED_AT: &str = "hosho-failed-at";
const HISTORY: &str = "hosho-history";
const REPLAY: &str = "hosho-replay";
const FAULT_CODE: &str = "hosho-fault-code";
const FAULT: &str = "hosho-fault";

/// Microseconds and a `Z`: sorts as text, and survives both databases.
const TIME: &str = "%Y-%m-%dT%H:%M:%S%.6fZ";

/// Limits that keep all headers together under 4 KiB.
/// They limit the characters of the fault text, its bytes, and the bytes of a short value.
const TEXT_CHARS: usize = 1_000;
const TEXT_BYTES: usize = 2_400;
const VALUE_BYTES: usize = 128;

/// Bytes of the earlier attempts, and of the code of each.
/// An attempt is `time code`; commas separate attempts.
const HISTORY_BYTES: usize = 1_000;
const PAST_CODE_BYTES: usize = 48;

const PERSISTENT: u8 = 2;

/// Properties of a message of ours, published at `now` (UTC).
/// Fails for an identifier longer than AMQP can carry (255 bytes).
pub(super) fn properties(
    envelope: &Envelope,
    now: NaiveDateTime,
) -> Result<BasicProperties, ShortStringError> {
    let mut properties = BasicProperties::default()
        .with_delivery_mode(PERSISTENT)
        .with_timestamp(u64::try_from(now.and_utc().timestamp()).unwrap_or(0))
        .with_content_type(short("application/json"))
        .with_headers(headers(envelope));
    if let Some(id) = &envelope.message_id {
        properties = properties.with_message_id(ShortString::try_new(id.as_str())?);
    }
    if let Some(name) = &envelope.message_type {
        properties = properties.with_type(ShortString::try_new(name.as_str())?);
    }
    if let Some(id) = &envelope.correlation_id {
        properties = properties.with_correlation_id(ShortString::try_new(id.as_str())?);
    }
    Ok(properties)
}

fn headers(envelope: &Envelope) -> FieldTable {
    let mut table = FieldTable::default();
    let mut text = |name: &str, value: &str| {
        table.insert(short(name), AMQPValue::LongString(value.into()));
    };
    let history = &envelope.history;
    if let Some(value) = &envelope.traceparent {
        text(TRACEPARENT, cut(value, VALUE_BYTES));
    }
    for (name, at) in [(FIRST_FAILED_AT, history.first_failed_at), (FAILED_AT, history.failed_at)] {
        if let Some(at) = at {
            text(name, &at.format(TIME).to_string());
        }
    }
    if let Some(code) = &history.code {
        text(FAULT_CODE, cut(code, VALUE_BYTES));
    }
    if let Some(fault) = &history.text {
        let end = fault.char_indices().nth(TEXT_CHARS).map_or(fault.len(), |(at, _)| at);
        text(FAULT, cut(&fault[..end], TEXT_BYTES));
    }
    if !history.earlier.is_empty() {
        let earlier = history
            .earlier
            .iter()
            .map(|(at, code)| format!("{} {}", at.format(TIME), cut(code, PAST_CODE_BYTES)));
        text(HISTORY, cut(&earlier.collect::<Vec<_>>().join(","), HISTORY_BYTES));
    }
    if let Some(replay) = &history.replay {
        text(REPLAY, cut(replay, VALUE_BYTES));
    }
    if history.attempts > 0 {
        table.insert(short(ATTEMPT), AMQPValue::LongLongInt(i64::from(history.attempts)));
    }
    table
}

/// `is_failure`: with the headers that say how it became a dead letter.
pub(super) fn delivery(received: Received, is_failure: bool) -> Delivery {
    let properties = &received.properties;
    let owned = |value: &Option<ShortString>| {
        value.as_ref().map(|text| text.as_str().to_owned()).filter(|text| !text.is_empty())
    };
    let empty = FieldTable::default();
    let headers = properties.headers().as_ref().unwrap_or(&empty);
    let envelope = Envelope {
        message_id: owned(properties.message_id()),
        message_type: owned(properties.kind()),
        correlation_id: owned(properties.correlation_id()),
        traceparent: text(headers, TRACEPARENT, VALUE_BYTES),
        history: History {
            attempts: number(headers, ATTEMPT).and_then(|value| u32::try_from(value).ok()).unwrap_or(0),
            first_failed_at: time(headers, FIRST_FAILED_AT),
            failed_at: time(headers, FAILED_AT),
            code: text(headers, FAULT_CODE, VALUE_BYTES),
            text: text(headers, FAULT, TEXT_BYTES),
            earlier: text(headers, HISTORY, HISTORY_BYTES).map(|past| earlier(&past)).unwrap_or_default(),
            replay: text(headers, REPLAY, VALUE_BYTES),
        },
        payload: received.data,
    };
    let published_at =
        properties.timestamp().and_then(|seconds| i64::try_from(seconds).ok()).and_then(moment);
    let (death, headers) =
        if is_failure { (death(headers), readable(headers)) } else { (None, serde_json::Map::new()) };
    Delivery {
        tag: Tag(received.delivery_tag),
        redelivered: received.redelivered,
        routing_key: received.routing_key.into(),
        published_at,
        death,
        headers,
        envelope,
    }
}

/// From seconds since 1970; `None` outside the years 1970 to 9999.
/// The databases store only years of four digits.
fn moment(seconds: i64) -> Option<NaiveDateTime> {
    DateTime::from_timestamp(seconds, 0)
        .map(|at| at.naive_utc())
        .filter(|at| (1970..=9999).contains(&at.year()))
}

fn earlier(past: &str) -> Vec<(NaiveDateTime, String)> {
    let attempt = |attempt: &str| {
        let (at, code) = attempt.split_once(' ')?;
        Some((DateTime::parse_from_rfc3339(at).ok()?.naive_utc(), code.to_owned()))
    };
    past.split(',').filter_map(attempt).take(History::REMEMBERED).collect()
}

/// The newest entry of `x-death`.
/// A stage that gives up writes none, and a message that only waited for its next attempt (`expired`) was not
/// made a dead letter by that.
pub(super) fn death(headers: &FieldTable) -> Option<Death> {
    let AMQPValue::FieldArray(deaths) = headers.inner().get("x-death")? else { return None };
    let AMQPValue::FieldTable(newest) = deaths.as_slice().first()? else { return None };
    let at = match newest.inner().get("time") {
        Some(AMQPValue::Timestamp(seconds)) => i64::try_from(*seconds).ok().and_then(moment),
        _ => None,
    };
    Some(Death { reason: text(newest, "reason", VALUE_BYTES)?, at })
}

/// Every header that is text or a number, and of `x-death` what matters.
fn readable(headers: &FieldTable) -> serde_json::Map<String, serde_json::Value> {
    let mut readable = serde_json::Map::new();
    for (name, value) in headers.inner() {
        let name = name.as_str();
        let value = if let Some(value) = number(headers, name) {
            value.into()
        } else if let Some(value) = text(headers, name, TEXT_BYTES) {
            value.into()
        } else if let (AMQPValue::FieldArray(deaths), "x-death") = (value, name) {
            let death = |death: &AMQPValue| {
                let AMQPValue::FieldTable(death) = death else { return None };
                let word = |name| text(death, name, VALUE_BYTES).unwrap_or_default();
                Some(
                    format!(
                        "{} in {} ({})",
                        word("reason"),
                        word("queue"),
                        number(death, "count").unwrap_or(0)
                    )
                    .into(),
                )
            };
            serde_json::Value::Array(deaths.as_slice().iter().filter_map(death).collect())
        } else {
            continue;
        };
        readable.insert(name.to_owned(), value);
    }
    readable
}

fn text(headers: &FieldTable, name: &str, limit: usize) -> Option<String> {
    let value = match headers.inner().get(name)? {
        AMQPValue::LongString(value) => std::str::from_utf8(value.as_bytes()).ok()?,
        AMQPValue::ShortString(value) => value.as_str(),
        _ => return None,
    };
    Some(cut(value, limit).to_owned()).filter(|value| !value.is_empty())
}

/// Any integer type, because each client library picks its own; or digits.
fn number(headers: &FieldTable, name: &str) -> Option<i64> {
    match headers.inner().get(name)? {
        AMQPValue::ShortShortInt(value) => Some((*value).into()),
        AMQPValue::ShortShortUInt(value) => Some((*value).into()),
        AMQPValue::ShortInt(value) => Some((*value).into()),
        AMQPValue::ShortUInt(value) => Some((*value).into()),
        AMQPValue::LongInt(value) => Some((*value).into()),
        AMQPValue::LongUInt(value) => Some((*value).into()),
        AMQPValue::LongLongInt(value) => Some(*value),
        _ => text(headers, name, VALUE_BYTES)?.parse().ok(),
    }
}

fn time(headers: &FieldTable, name: &str) -> Option<NaiveDateTime> {
    match headers.inner().get(name)? {
        AMQPValue::Timestamp(seconds) => moment(i64::try_from(*seconds).ok()?),
        _ => DateTime::parse_from_rfc3339(&text(headers, name, VALUE_BYTES)?)
            .ok()
            .map(|at| at.naive_utc())
            .filter(|at| (1970..=9999).contains(&at.year())),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn received(properties: BasicProperties) -> Received {
        let mut received = Received::mock(7, "hosho.work".into(), "issue".into(), true, b"{}".to_vec());
        received.properties = properties;
        received
    }

    fn now() -> NaiveDateTime {
        "2026-07-01T01:06:00".parse().unwrap()
    }

    fn full() -> Envelope {
        Envelope {
            message_id: Some("id".to_owned()),
            message_type: Some("issue.v1".to_owned()),
            correlation_id: Some("application".to_owned()),
            traceparent: Some("00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01".to_owned()),
            history: History {
                attempts: 3,
                first_failed_at: "2026-07-01T01:02:03.000456".parse().ok(),
                failed_at: "2026-07-01T01:05:03.000457".parse().ok(),
                code: Some("mail.refused".to_owned()),
                text: Some("the relay said 451 — 混雑".to_owned()),
                earlier: vec![
                    ("2026-07-01T01:02:03.000456".parse().unwrap(), "mail.deferred".to_owned()),
                    ("2026-07-01T01:03:03".parse().unwrap(), "database.contention".to_owned()),
                ],
                replay: Some("a replay".to_owned()),
            },
            payload: b"{}".to_vec(),
        }
    }

    #[test]
    fn envelope_survives_encoding() {
        for envelope in [
            full(),
            Envelope {
                message_id: None,
                message_type: None,
                correlation_id: None,
                traceparent: None,
                history: History::default(),
                payload: b"{}".to_vec(),
            },
        ] {
            let delivered = delivery(received(properties(&envelope, now()).unwrap()), false);
            assert_eq!(delivered.envelope.history, envelope.history);
            assert_eq!(delivered.envelope, envelope);
            assert_eq!(
                (delivered.tag, delivered.redelivered, delivered.routing_key.as_str()),
                (Tag(7), true, "issue")
            );
            assert_eq!((delivered.published_at, delivered.death), (Some(now()), None));
        }
    }

    #[test]
    fn headers_stay_small_and_valid() {
        let mut envelope = full();
        envelope.history.text = Some("髙".repeat(50_000));
        envelope.history.code = Some("𠮷".repeat(50_000));
        envelope.history.earlier = vec![(now(), "x".repeat(50_000)); 100];
        envelope.history.replay = Some("x".repeat(50_000));
        envelope.traceparent = Some("x".repeat(50_000));
        let delivered = delivery(received(properties(&envelope, now()).unwrap()), false).envelope;
        let history = delivered.history;
        assert_eq!(history.text.as_ref().unwrap().chars().count(), 800);
        assert_eq!(history.earlier.len(), History::REMEMBERED);
        let earlier: usize = history.earlier.iter().map(|(_, code)| code.len() + 28).sum();
        let values = [
            history.text.unwrap(),
            history.code.unwrap(),
            delivered.traceparent.unwrap(),
            history.replay.unwrap(),
        ];
        let sum = values.iter().map(String::len).sum::<usize>() + earlier;
        assert!(sum < 4_096 - 200, "{sum}");
        envelope.history.text = Some("𠮷".repeat(50_000));
        assert_eq!(
            delivery(received(properties(&envelope, now()).unwrap()), false)
                .envelope
                .history
                .text
                .unwrap()
                .len(),
            TEXT_BYTES
        );
    }

    #[test]
    fn rejects_an_identifier_too_long_for_amqp() {
        let envelope = Envelope { message_id: Some("x".repeat(256)), ..full() };
        assert!(properties(&envelope, now()).is_err());
    }

    #[test]
    fn tolerates_headers_of_foreign_clients() {
        let mut table = FieldTable::default();
        let mut put = |name: &str, value| {
            table.insert(short(name), value);
        };
        put(ATTEMPT, AMQPValue::LongString("12".into()));
        put(FIRST_FAILED_AT, AMQPValue::Timestamp(1_782_867_723));
        put(FAULT, AMQPValue::LongString(vec![0xff, 0xfe].into()));
        put(FAULT_CODE, AMQPValue::FieldTable(FieldTable::default()));
        put(TRACEPARENT, AMQPValue::Boolean(true));
        put("x-death", AMQPValue::Void);
        let delivered = delivery(
            received(BasicProperties::default().with_headers(table).with_message_id("".into())),
            false,
        );
        let history = delivered.envelope.history;
        assert_eq!(history.attempts, 12);
        assert_eq!(history.first_failed_at.unwrap().to_string(), "2026-07-01 01:02:03");
        assert_eq!(
            (history.text, history.code, delivered.envelope.traceparent, delivered.envelope.message_id),
            (None, None, None, None)
        );

        for (value, attempts) in [
            (AMQPValue::ShortShortUInt(200), 200),
            (AMQPValue::LongInt(-1), 0),
            (AMQPValue::LongLongInt(i64::MAX), 0),
            (AMQPValue::LongString("many".into()), 0),
            (AMQPValue::Double(2.0), 0),
        ] {
            let mut table = FieldTable::default();
            table.insert(short(ATTEMPT), value);
            assert_eq!(
                delivery(received(BasicProperties::default().with_headers(table)), false)
                    .envelope
                    .history
                    .attempts,
                attempts
            );
        }
    }

    #[test]
    fn dead_letter_has_its_death_and_headers() {
        let text = |value: &str| AMQPValue::LongString(value.into());
        let death = |reason: &str| {
            let mut death = FieldTable::default();
            death.insert(short("reason"), text(reason));
            death.insert(short("queue"), text("hosho.stage.issue"));
            death.insert(short("count"), AMQPValue::LongLongInt(1));
            death.insert(short("time"), AMQPValue::Timestamp(1_782_867_723));
            AMQPValue::FieldTable(death)
        };
        let mut table = headers(&full());
        table.insert(
            short("x-death"),
            AMQPValue::FieldArray(vec![death("delivery_limit"), death("expired")].into()),
        );
        table.insert(short("picture"), AMQPValue::ByteArray(vec![1].into()));
        let dead_letter = delivery(received(BasicProperties::default().with_headers(table)), true);
        let death = dead_letter.death.unwrap();
        assert_eq!(
            (death.reason.as_str(), death.at.unwrap().to_string().as_str()),
            ("delivery_limit", "2026-07-01 01:02:03")
        );
        assert_eq!(dead_letter.headers["x-death"][1], "expired in hosho.stage.issue (1)");
        assert_eq!(
            (&dead_letter.headers["hosho-attempt"], &dead_letter.headers["hosho-fault-code"]),
            (&3.into(), &"mail.refused".into())
        );
        assert!(!dead_letter.headers.contains_key("picture"));
    }
}
