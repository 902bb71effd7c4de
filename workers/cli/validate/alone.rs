//! One application judged by itself: what the validate stage does before it looks at others.

use chrono::NaiveDate;
use hosho_schema::{
    ids,
    messages::{self, ApplicationV1, DecodeError, RejectedLineV1, ViolationV1},
};
use serde::de::IgnoredAny;

use super::super::input::{self, Piece};
use crate::{
    assembly::Data,
    domain::{
        application::{self as rules, Judged},
        violation::Violation,
    },
    mail,
    pdf::Fonts,
    stage::Reason,
    stages::validate,
};

/// What applications are judged by.
pub(super) struct Judge {
    /// Obligees and branches.
    pub(super) data: Data,
    /// What can be printed.
    pub(super) fonts: Fonts,
    /// The day they come in, in Tokyo.
    pub(super) received_on: NaiveDate,
    /// The largest message that is taken from a queue, in bytes.
    pub(super) max_bytes: usize,
}

/// What is told of an application besides the verdict.
pub(super) struct About {
    /// `source` and `id`, where they can be read.
    pub(super) identity: Option<(String, String)>,
    /// The product lines, where it can be read that far.
    pub(super) products: Vec<RejectedLineV1>,
}

/// What an application is stored under.
pub(super) struct Key {
    /// Our identifier.
    pub(super) id: String,
    /// Hash of its content.
    pub(super) sha256: String,
}

/// An application judged by itself.
pub(super) struct Alone {
    pub(super) about: About,
    /// None where it could not be answered, and so would not be stored.
    pub(super) key: Option<Key>,
    /// Identifier of its works and fiscal year, where they could be read.
    pub(super) works: Option<String>,
    pub(super) finding: Finding,
}

/// What came of judging it.
pub(super) enum Finding {
    /// It was read, at least as JSON.
    Judged(Box<Judged>),
    /// It could not be read, and here is where: an offset in its bytes.
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
                let facts = rules::RuleContext {
                    obligees: &self.data.obligees,
                    branches: &self.data.branches,
                    received_on: self.received_on,
                    unprintable: &|text| self.fonts.missing(text),
                    mail_address: &mail::normal_mail_address,
                };
                let judged = rules::judge(&application, &facts);
                let line = |line: &messages::ProductLineV1| RejectedLineV1 {
                    product: line.product,
                    medium: line.medium,
                };
                let products = application.products.iter().map(line).collect();
                Self::alone(payload, Some((application.source, application.id)), products, judged)
            }
            Err(error) => {
                // What is misshapen first may be cut off later: then it is no JSON, and the end of it is what to look at.
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

/// Such a message never reaches the rules: the runner puts it aside under this code.
fn too_large(size: usize, limit: usize) -> ViolationV1 {
    ViolationV1 {
        code: Reason::TooLarge.code().to_owned(),
        path: "$".to_owned(),
        message_ja: format!("申込データが{size}バイトあり、1件の上限{limit}バイトを超えています。"),
        message_en: format!("has {size} bytes; the limit of one application is {limit}"),
    }
}

/// The byte that the decoder's line and column mean: it counts columns in bytes, and where the text ends too early, names the last one.
fn offset(payload: &[u8], line: usize, column: usize) -> usize {
    let mut lines = payload.split_inclusive(|byte| *byte == b'\n');
    let before: usize = lines.by_ref().take(line.saturating_sub(1)).map(<[u8]>::len).sum();
    let mut offset = (before + column.saturating_sub(1)).min(payload.len());
    while offset > 0 && payload.get(offset).is_some_and(|byte| byte & 0xc0 == 0x80) {
        offset -= 1;
    }
    offset
}
