//! Judges one application alone, as the validate stage does first.

use chrono::NaiveDate;
use hosho_schema::{
    ids,
    messages::{self, ApplicationV1, DecodeError, RejectedLineV1, ViolationV1},
};
use serde::de::IgnoredAny;

use super::super::input::{self, Piece};
use crate::{
    domain::{application::Judged, violation::Violation},
    fault::Reason,
    pdf::Fonts,
    reference::ReferenceData,
    stages::validate::{self, decide},
};

pub(super) struct Judge {
    pub data: ReferenceData,
    pub fonts: Fonts,
    /// In Tokyo.
    pub received_on: NaiveDate,
    /// `work.max_message_bytes`.
    pub max_bytes: usize,
}

pub(super) struct About {
    /// `source` and `id`, if readable.
    pub identity: Option<(String, String)>,
    /// Empty if unreadable.
    pub products: Vec<RejectedLineV1>,
}

pub(super) struct Key {
    pub id: String,
    /// Of its content.
    pub sha256: String,
}

pub(super) struct Alone {
    pub about: About,
    /// `None` for one that cannot be answered, and so would not be stored.
    pub key: Option<Key>,
    /// Id of its works and fiscal year, if readable.
    pub works: Option<String>,
    pub finding: Finding,
}

pub(super) enum Finding {
    /// Readable, at least as JSON.
    Judged(Box<Judged>),
    /// With the offset of the syntax error.
    Unreadable(ViolationV1, usize),
}

impl Judge {
    pub(super) fn judge(&self, payload: &[u8], piece: &Piece) -> Alone {
        let unreadable = |violation, offset| Alone {
            about: About { identity: input::identity(payload), products: Vec::new() },
            key: None,
            works: None,
            finding: Finding::Unreadable(violation, offset),
        };
        let not_json = |problem: &str, offset: usize| {
            let at = piece.at.after(&payload[..offset]);
            unreadable(Violation::not_json(problem, at.line, at.column).into(), offset)
        };
        if let Some(fault) = piece.fault {
            return not_json(fault, 0);
        }
        if payload.len() > self.max_bytes {
            return unreadable(too_large(payload.len(), self.max_bytes), 0);
        }
        if let Err(error) = std::str::from_utf8(payload) {
            return not_json("not UTF-8", error.valid_up_to());
        }
        match messages::decode::<ApplicationV1>(payload) {
            Ok(application) => {
                let judged = decide::judge(&application, &self.data, &self.fonts, self.received_on);
                let line = |line: &messages::ProductLineV1| RejectedLineV1 {
                    product: line.product,
                    medium: line.medium,
                };
                let products = application.products.iter().map(line).collect();
                Self::alone(payload, Some((application.source, application.id)), products, judged)
            }
            Err(error) => {
                // It may also be incomplete JSON; then the syntax error is the one to report.
                let whole = serde_json::from_slice::<IgnoredAny>(payload)
                    .map_err(|error| DecodeError::not_json(&error));
                match whole.err().unwrap_or(error) {
                    DecodeError::NotJson { problem, line, column } => {
                        not_json(&problem, offset(payload, line, column))
                    }
                    error @ DecodeError::Shape { .. } => Self::alone(
                        payload,
                        input::identity(payload),
                        Vec::new(),
                        Judged::unreadable(Violation::malformed::<ApplicationV1>(payload, &error)),
                    ),
                }
            }
        }
    }

    fn alone(
        payload: &[u8],
        identity: Option<(String, String)>,
        products: Vec<RejectedLineV1>,
        judged: Judged,
    ) -> Alone {
        let key = identity.as_ref().zip(validate::content_sha256(payload));
        Alone {
            key: key.map(|((source, id), sha256)| Key { id: ids::application(source, id), sha256 }),
            works: judged.works_key().map(|key| ids::works(&key)),
            about: About { identity, products },
            finding: Finding::Judged(Box::new(judged)),
        }
    }
}

/// The runner rejects such a message with this code before any rule.
fn too_large(size: usize, limit: usize) -> ViolationV1 {
    ViolationV1 {
        code: Reason::TooLarge.code().to_owned(),
        path: "$".to_owned(),
        message_ja: format!("申込データが{size}バイトあり、1件の上限{limit}バイトを超えています。"),
        message_en: format!("has {size} bytes; the limit of one application is {limit}"),
    }
}

/// The offset of the decoder's line and column, which counts bytes.
/// An early end of the text gives the last column.
fn offset(payload: &[u8], line: usize, column: usize) -> usize {
    let mut lines = payload.split_inclusive(|byte| *byte == b'\n');
    let before: usize = lines.by_ref().take(line.saturating_sub(1)).map(<[u8]>::len).sum();
    let mut offset = (before + column.saturating_sub(1)).min(payload.len());
    while offset > 0 && payload.get(offset).is_some_and(|byte| byte & 0xc0 == 0x80) {
        offset -= 1;
    }
    offset
}
