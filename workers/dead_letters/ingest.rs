//! Records the dead letters of `hosho.dead` and `hosho.unrouted`.
//!
//! A dead letter is acknowledged after its row in `failed_message` is committed. While the database is
//! unavailable, it stays in its queue, whose delivery limit is never reached. A dead letter that arrives
//! twice is one row. Values that a database could reject are replaced first (NUL characters, foreign codes).
//! If it rejects one of a batch, the others are recorded.

use std::{sync::Arc, time::Duration};

use chrono::NaiveDateTime;
use hosho_schema::{
    db::{Connection, DbError},
    models::failed_message::{self, Attempt, DeadLetter, Origin, Recorded},
};
use sha2::{Digest, Sha256};
use tokio_util::sync::CancellationToken;
use tracing::{error, info, warn};

use super::fingerprint;
use crate::{
    backoff::Backoff,
    broker::{Broker, BrokerError, Consumer, Delivery, Source},
    clock::Clock,
    db::Db,
    fault::{Reason, chain},
    redact::redact_addresses,
};

const BATCH: usize = 64;

/// Bytes of bodies recorded together at most, unless a single one is larger.
const BATCH_BYTES: usize = 16 * 1024 * 1024;

/// How long a batch is kept while the database is unavailable.
/// Then it is requeued. Far below the acknowledgement timeout of the broker.
const HOLD: Duration = Duration::from_mins(1);

/// Longest name of a stage or routing key in characters.
const STAGE: usize = 100;

#[derive(Clone)]
pub struct Ingester {
    pub broker: Arc<dyn Broker>,
    pub db: Db,
    pub clock: Clock,
    pub stop: CancellationToken,
}

enum End {
    Stopped,
    Broken(BrokerError),
    Away(DbError),
}

impl From<BrokerError> for End {
    fn from(error: BrokerError) -> Self {
        Self::Broken(error)
    }
}

impl Ingester {
    /// Records the dead letters of a queue until the process stops.
    /// Survives every failure of broker and database.
    pub async fn run(mut self, source: Source) {
        let mut backoff = Backoff::default();
        loop {
            let began = tokio::time::Instant::now();
            match self.session(source).await {
                Err(End::Stopped) | Ok(()) => return,
                Err(End::Broken(failure)) => {
                    warn!(source = ?source, error = chain(&failure), "The broker failed; consumer of dead letters restarted");
                }
                Err(End::Away(failure)) => {
                    warn!(source = ?source, error = chain(&failure), "Database unavailable; dead letters requeued");
                    if self.wait_for_database().await {
                        return;
                    }
                }
            }
            if began.elapsed() > HOLD {
                backoff.reset();
            }
            if self.wait(backoff.next_pause()).await {
                return;
            }
        }
    }

    async fn session(&mut self, source: Source) -> Result<(), End> {
        let mut consumer = self.broker.consume(source, u16::try_from(BATCH * 2).unwrap_or(u16::MAX)).await?;
        let end = loop {
            let deliveries = tokio::select! {
                biased;
                () = self.stop.cancelled() => break End::Stopped,
                batch = consumer.next_batch(BATCH) => batch?,
            };
            if let Err(end) = self.record_batch(&mut consumer, source, deliveries).await {
                break end;
            }
        };
        consumer.close().await?;
        Err(end)
    }

    async fn record_batch(
        &mut self,
        consumer: &mut Box<dyn Consumer>,
        source: Source,
        deliveries: Vec<Delivery>,
    ) -> Result<(), End> {
        for deliveries in portions(deliveries) {
            let Some(last) = deliveries.last().map(|delivery| delivery.tag) else { continue };
            let now = self.clock.now();
            let dead_letters: Vec<DeadLetter> =
                deliveries.into_iter().map(|delivery| dead_letter(source, delivery, now)).collect();
            let recorded = self.record(dead_letters).await?;
            consumer.ack(last).await?;
            info!(
                source = ?source,
                dead_letters.new = recorded.new,
                dead_letters.again = recorded.again,
                dead_letters.known = recorded.known,
                "Dead letters recorded"
            );
        }
        Ok(())
    }

    /// Waits for an unavailable or busy database, as long as a batch may be kept.
    async fn record(&mut self, dead_letters: Vec<DeadLetter>) -> Result<Recorded, End> {
        let began = tokio::time::Instant::now();
        let dead_letters: Arc<[DeadLetter]> = dead_letters.into();
        let mut backoff = Backoff::default();
        let mut one_by_one = false;
        loop {
            let (all, now) = (Arc::clone(&dead_letters), self.clock.now());
            let recorded = if one_by_one {
                self.record_one_by_one(&all, now).await
            } else {
                self.db.call(move |db| record(db, &all, now)).await
            };
            let failure = match recorded {
                Ok(recorded) => return Ok(recorded),
                Err(failure) => failure,
            };
            // If connecting works but the batch insert fails, insert one by one.
            one_by_one = failure.is_unavailable() && !matches!(failure, DbError::Connect { .. });
            let pause = backoff.next_pause();
            if began.elapsed() + pause > HOLD {
                return Err(End::Away(failure));
            }
            if self.wait(pause).await {
                return Err(End::Stopped);
            }
        }
    }

    /// Records each on its own connection.
    /// If one fails, the others are recorded, and none is acknowledged. The recorded ones are known when they
    /// arrive again.
    async fn record_one_by_one(
        &self,
        dead_letters: &Arc<[DeadLetter]>,
        now: NaiveDateTime,
    ) -> Result<Recorded, DbError> {
        let mut sum = Recorded::default();
        let mut failure = None;
        for (place, dead_letter) in dead_letters.iter().enumerate() {
            let all = Arc::clone(dead_letters);
            match self.db.call(move |db| record(db, &all[place..=place], now)).await {
                Ok(recorded) => sum = add(sum, recorded),
                Err(unavailable @ DbError::Connect { .. }) => return Err(unavailable),
                Err(error) => {
                    warn!(
                        error = chain(&error),
                        dead_letter.id = dead_letter.id(),
                        "Dead letter not recorded; the others of its batch recorded"
                    );
                    failure = Some(error);
                }
            }
        }
        failure.map_or(Ok(sum), Err)
    }

    /// Probes the database until it is available; true when the process stops first.
    async fn wait_for_database(&mut self) -> bool {
        loop {
            if self.wait(Duration::from_secs(5)).await {
                return true;
            }
            if self.db.call(|_| Ok::<_, DbError>(())).await.is_ok() {
                return false;
            }
        }
    }

    async fn wait(&mut self, time: Duration) -> bool {
        self.stop.run_until_cancelled(tokio::time::sleep(time)).await.is_none()
    }
}

/// Records all together.
/// If the database rejects that, records one by one, and a rejected one without its texts.
fn record(db: &mut Connection, dead_letters: &[DeadLetter], now: NaiveDateTime) -> Result<Recorded, DbError> {
    let refused = match failed_message::record(db, dead_letters, now) {
        Err(error) if !error.is_unavailable() && !error.is_contention() => error,
        other => return other,
    };
    warn!(
        error = chain(&refused),
        dead_letters = dead_letters.len(),
        "Batch of dead letters rejected by the database; recorded one by one"
    );
    let mut sum = Recorded::default();
    for dead_letter in dead_letters {
        let recorded = match failed_message::record(db, std::slice::from_ref(dead_letter), now) {
            Err(error) if !error.is_unavailable() && !error.is_contention() => {
                error!(
                    error = chain(&error),
                    dead_letter.id = dead_letter.id(),
                    "Dead letter rejected by the database; only its body recorded"
                );
                failed_message::record(db, &[bare(dead_letter)], now)?
            }
            other => other?,
        };
        sum = add(sum, recorded);
    }
    Ok(sum)
}

fn add(one: Recorded, other: Recorded) -> Recorded {
    Recorded { new: one.new + other.new, again: one.again + other.again, known: one.known + other.known }
}

fn portions(deliveries: Vec<Delivery>) -> Vec<Vec<Delivery>> {
    let mut portions: Vec<Vec<Delivery>> = Vec::new();
    let mut bytes = usize::MAX;
    for delivery in deliveries {
        bytes = bytes.saturating_add(delivery.envelope.payload.len());
        match portions.last_mut() {
            Some(portion) if bytes <= BATCH_BYTES => portion.push(delivery),
            _ => {
                bytes = delivery.envelope.payload.len();
                portions.push(vec![delivery]);
            }
        }
    }
    portions
}

/// A dead letter with no value of its sender but the body.
fn bare(dead_letter: &DeadLetter) -> DeadLetter {
    DeadLetter {
        message_id: format!("sha256:{}", dead_letter.payload_sha256),
        message_type: None,
        correlation_id: None,
        traceparent: None,
        headers: "{}".to_owned(),
        earlier: Vec::new(),
        replay_id: None,
        ..dead_letter.clone()
    }
}

/// The failure is dated `now` unless the broker or a stage dated it.
fn dead_letter(source: Source, delivery: Delivery, now: NaiveDateTime) -> DeadLetter {
    let Delivery { redelivered, routing_key, death, headers, envelope, .. } = delivery;
    let payload_sha256 = hex::encode(Sha256::digest(&envelope.payload));
    let stage: String = redact_addresses(&routing_key).chars().take(STAGE).collect();
    let history = envelope.history;
    let code = history.code.as_deref().filter(|code| is_code(code));
    let (origin, code, text) = match (source, &death) {
        (Source::Unrouted, _) => (
            Origin::Unroutable,
            "message.unroutable".to_owned(),
            format!("no queue is bound to the routing key '{stage}'"),
        ),
        (_, Some(death)) => dead_lettered(&death.reason),
        _ => match code {
            Some(code) => {
                let undecodable = [Reason::Undecodable.code(), Reason::TooLarge.code()].contains(&code);
                let origin = if undecodable { Origin::Undecodable } else { Origin::Handler };
                (origin, code.to_owned(), redact_addresses(history.text.as_deref().unwrap_or_default()))
            }
            None => (
                Origin::Rejected,
                "message.foreign".to_owned(),
                "published to the dead letters by a foreign client".to_owned(),
            ),
        },
    };
    // Senders choose the dates of their messages: only those of broker and stages count, and none in the
    // future.
    let dated = match (source, &death, origin) {
        (Source::Dead, Some(death), _) => death.at,
        (_, None, Origin::Handler | Origin::Undecodable) => history.failed_at,
        _ => None,
    };
    let failed_at = dated.unwrap_or(now).min(now);
    DeadLetter {
        message_id: storable(envelope.message_id.as_deref().unwrap_or(&format!("sha256:{payload_sha256}"))),
        message_type: envelope.message_type.as_deref().map(storable),
        correlation_id: envelope.correlation_id.as_deref().map(storable),
        traceparent: envelope.traceparent.as_deref().map(storable),
        payload: envelope.payload,
        payload_sha256,
        headers: serde_json::Value::Object(headers).to_string(),
        origin,
        fingerprint: fingerprint(&stage, &code, &text),
        code,
        text,
        attempts: history.attempts.into(),
        first_failed_at: history.first_failed_at.unwrap_or(failed_at).min(failed_at),
        failed_at,
        is_copy: redelivered && dated != Some(failed_at),
        earlier: earlier(history.earlier, history.failed_at.zip(history.code), origin, now),
        replay_id: history.replay.as_deref().map(storable),
        stage,
    }
}

/// The origin, code and text of a message that the broker dead-lettered.
fn dead_lettered(reason: &str) -> (Origin, String, String) {
    match reason {
        "delivery_limit" => (
            Origin::DeliveryLimit,
            "delivery.limit".to_owned(),
            "delivered too often without an acknowledgement: its workers crashed, or the broker was restarted repeatedly".to_owned(),
        ),
        "rejected" => (Origin::Rejected, "delivery.rejected".to_owned(), "rejected by a foreign consumer".to_owned()),
        "expired" => (Origin::Rejected, "delivery.expired".to_owned(), "expired in its queue by a policy of the broker".to_owned()),
        "maxlen" => (Origin::Rejected, "delivery.overflow".to_owned(), "dropped from a full queue by a policy of the broker".to_owned()),
        _ => (Origin::Rejected, "delivery.dead_lettered".to_owned(), "dead-lettered by the broker".to_owned()),
    }
}

/// The attempts before the last one.
/// If the broker dead-lettered it, the last attempt of the stage is one of them.
fn earlier(
    past: Vec<(NaiveDateTime, String)>,
    last: Option<(NaiveDateTime, String)>,
    origin: Origin,
    now: NaiveDateTime,
) -> Vec<Attempt> {
    let by_broker = matches!(origin, Origin::DeliveryLimit | Origin::Rejected | Origin::Unroutable);
    let all = past.into_iter().chain(last.filter(|_| by_broker));
    all.filter(|(_, code)| is_code(code))
        .map(|(at, code)| Attempt { at: at.min(now), code, text: None })
        .collect()
}

/// Whether a header has the form of a code: a foreign publisher may have sent it.
fn is_code(text: &str) -> bool {
    (1..=64).contains(&text.len())
        && text.bytes().all(|byte| byte.is_ascii_lowercase() || matches!(byte, b'.' | b'_'))
}

/// The text without characters that PostgreSQL rejects.
pub(super) fn storable(text: &str) -> String {
    text.replace('\0', "\u{fffd}")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::broker::{Death, Envelope, History, Tag};

    fn delivery(history: History, death: Option<&str>) -> Delivery {
        Delivery {
            tag: Tag(1),
            redelivered: false,
            routing_key: "issue".to_owned(),
            published_at: None,
            death: death.map(|reason| Death { reason: reason.to_owned(), at: Some(at(4)) }),
            headers: serde_json::Map::new(),
            envelope: Envelope {
                message_id: Some("id\0".to_owned()),
                message_type: None,
                correlation_id: None,
                traceparent: None,
                history,
                payload: b"{}".to_vec(),
            },
        }
    }

    fn at(minute: u32) -> NaiveDateTime {
        chrono::NaiveDate::from_ymd_opt(2026, 12, 1).unwrap().and_hms_opt(9, minute, 0).unwrap()
    }

    fn failed(code: &str) -> History {
        let mut history = History { replay: Some("r".to_owned()), ..History::default() };
        history.add(at(1), "mail.deferred", "450 taro@example.jp".to_owned());
        history.add(at(2), code, "550 <taro@example.jp>".to_owned());
        history
    }

    #[test]
    fn reads_failure_time_of_a_stage() {
        let dead_letter = dead_letter(Source::Dead, delivery(failed("mail.refused"), None), at(5));
        assert_eq!(
            (dead_letter.origin, dead_letter.code.as_str(), dead_letter.attempts),
            (Origin::Handler, "mail.refused", 2)
        );
        assert_eq!((dead_letter.first_failed_at, dead_letter.failed_at), (at(1), at(2)));
        assert_eq!(
            (dead_letter.text.as_str(), dead_letter.message_id.as_str()),
            ("550 <***@***>", "id\u{fffd}")
        );
        assert_eq!(
            dead_letter.earlier,
            [Attempt { at: at(1), code: "mail.deferred".to_owned(), text: None }]
        );
        assert_eq!(dead_letter.replay_id.as_deref(), Some("r"));
    }

    #[test]
    fn distinguishes_origins() {
        let origin = |source, history, death| {
            let dead_letter = dead_letter(source, delivery(history, death), at(5));
            (dead_letter.origin, dead_letter.code, dead_letter.failed_at)
        };
        let nothing = History::default;
        let expected = |origin, code: &str, at| (origin, code.to_owned(), at);
        assert_eq!(
            origin(Source::Dead, failed("message.undecodable"), None),
            expected(Origin::Undecodable, "message.undecodable", at(2))
        );
        assert_eq!(
            origin(Source::Dead, failed("x"), Some("delivery_limit")),
            expected(Origin::DeliveryLimit, "delivery.limit", at(4))
        );
        assert_eq!(
            origin(Source::Dead, nothing(), Some("rejected")),
            expected(Origin::Rejected, "delivery.rejected", at(4))
        );
        assert_eq!(
            origin(Source::Dead, nothing(), Some("maxlen")),
            expected(Origin::Rejected, "delivery.overflow", at(4))
        );
        assert_eq!(
            origin(Source::Dead, nothing(), None),
            expected(Origin::Rejected, "message.foreign", at(5))
        );
        assert_eq!(
            origin(Source::Dead, failed("髙橋 太郎"), None),
            expected(Origin::Rejected, "message.foreign", at(5))
        );
        assert_eq!(
            origin(Source::Unrouted, nothing(), None),
            expected(Origin::Unroutable, "message.unroutable", at(5))
        );
    }

    #[test]
    fn batches_are_limited_by_bytes() {
        let sizes = [1, BATCH_BYTES - 1, 1, BATCH_BYTES + 1, 0, 2, 3];
        let mut deliveries = Vec::new();
        for size in sizes {
            let mut delivery = delivery(History::default(), None);
            delivery.envelope.payload = vec![0; size];
            deliveries.push(delivery);
        }
        let cut: Vec<Vec<usize>> = portions(deliveries)
            .iter()
            .map(|portion| portion.iter().map(|each| each.envelope.payload.len()).collect())
            .collect();
        assert_eq!(cut, [vec![1, BATCH_BYTES - 1], vec![1], vec![BATCH_BYTES + 1], vec![0, 2, 3]]);
        assert!(portions(Vec::new()).is_empty());
    }

    #[test]
    fn ignores_failure_time_of_a_sender() {
        let read = |source, history, published, redelivered| {
            let delivery = Delivery { published_at: published, redelivered, ..delivery(history, None) };
            let dead_letter = dead_letter(source, delivery, at(5));
            (dead_letter.failed_at, dead_letter.is_copy)
        };
        for published in [at(1), at(30)] {
            let published = Some(published);
            assert_eq!(read(Source::Unrouted, History::default(), published, false), (at(5), false));
            assert_eq!(read(Source::Unrouted, History::default(), published, true), (at(5), true));
            assert_eq!(read(Source::Dead, History::default(), published, true), (at(5), true));
            assert_eq!(read(Source::Dead, failed("mail.refused"), published, true), (at(2), false));
        }
        // Dates in the future are ignored too.
        let death = Some(Death { reason: "rejected".to_owned(), at: Some(at(9)) });
        let later = dead_letter(
            Source::Dead,
            Delivery { death, redelivered: true, ..delivery(History::default(), None) },
            at(5),
        );
        assert_eq!((later.failed_at, later.is_copy), (at(5), true));
        let mut tomorrow = History::default();
        tomorrow.add(at(40), "mail.deferred", String::new());
        tomorrow.add(at(50), "mail.refused", String::new());
        let dead_letter = dead_letter(Source::Dead, delivery(tomorrow, None), at(5));
        assert_eq!(
            (dead_letter.failed_at, dead_letter.first_failed_at, dead_letter.earlier[0].at),
            (at(5), at(5), at(5))
        );
    }
}
