//! From a [`MailMessage`] to the bytes of a message, the same bytes every time.
//!
//! Shape: `multipart/alternative` (text, HTML), inside `multipart/mixed` when something is attached.
//! Everything is ASCII on the wire (base64 bodies, RFC 2047 subject, RFC 2231 file names), so no server needs
//! 8BITMIME. Message-ID and Date are the mail's; the MIME boundaries, which lettre would draw at random, are
//! derived from the Message-ID and hold `=_`, which base64 cannot contain.
//!
//! A control character in anything that becomes a header is an error naming the field, before lettre sees it.

use std::time::SystemTime;

use chrono::{Datelike as _, NaiveDateTime};
use lettre::Message;
use lettre::address::Envelope;
use lettre::message::header::{ContentTransferEncoding, ContentType, HeaderName, HeaderValue};
use lettre::message::{Attachment as AttachmentPart, Mailbox, MultiPart, SinglePart};
use sha2::{Digest as _, Sha256};

use super::address;
use crate::redact::MailAddress;

/// A mail to one recipient. Has personal data, so no `Debug`.
#[derive(Clone)]
pub struct MailMessage {
    /// Without angle brackets: `unique@domain` of ASCII alphanumerics, `.`, `_`, `-`.
    pub message_id: String,
    /// Date (UTC, whole seconds on the wire).
    pub date: NaiveDateTime,
    pub from: Sender,
    pub to: MailAddress,
    pub subject: String,
    pub text: String,
    pub html: String,
    pub attachments: Vec<Attachment>,
    /// Trace of the application, 32 hexadecimal digits, for support requests.
    pub trace_id: Option<String>,
}

impl MailMessage {
    /// The message as it goes over the wire: CRLF throughout, ASCII.
    pub fn message(&self) -> Result<Vec<u8>, MailMessageError> {
        EncodedMail::encode(self).map(|encoded| encoded.bytes)
    }
}

#[derive(Clone)]
pub struct Sender {
    pub name: Option<String>,
    pub address: MailAddress,
}

#[derive(Clone)]
pub struct Attachment {
    pub file_name: String,
    /// Media type, such as `application/pdf`.
    pub media_type: String,
    pub bytes: Vec<u8>,
}

/// Names the invalid field of a mail; never its value.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum MailMessageError {
    /// A line break or other control character could smuggle in a header.
    #[error("control character in field {field}")]
    ControlCharacter { field: &'static str },
    #[error("field {field} is not a mail address")]
    Address { field: &'static str },
    #[error("field {field} is not of the documented form")]
    Form { field: &'static str },
    #[error("the message cannot be composed")]
    Compose,
}

pub(super) struct EncodedMail {
    pub(super) message_id: String,
    pub(super) envelope: Envelope,
    /// The message, CRLF throughout, ASCII, ending with one line break.
    pub(super) bytes: Vec<u8>,
}

impl EncodedMail {
    pub(super) fn encode(mail: &MailMessage) -> Result<Self, MailMessageError> {
        let headers = [
            ("message_id", mail.message_id.as_str()),
            ("from.name", mail.from.name.as_deref().unwrap_or_default()),
            ("from.address", mail.from.address.expose()),
            ("to", mail.to.expose()),
            ("subject", &mail.subject),
            ("trace_id", mail.trace_id.as_deref().unwrap_or_default()),
        ];
        let attached = mail.attachments.iter().flat_map(|part| {
            [("attachments.file_name", part.file_name.as_str()), ("attachments.media_type", &part.media_type)]
        });
        if let Some((field, _)) =
            headers.into_iter().chain(attached).find(|(_, value)| value.chars().any(breaks_a_line))
        {
            return Err(MailMessageError::ControlCharacter { field });
        }
        if !is_message_id(&mail.message_id) {
            return Err(MailMessageError::Form { field: "message_id" });
        }
        // lettre panics on dates that HTTP cannot write.
        if !(1970..=9999).contains(&mail.date.year()) {
            return Err(MailMessageError::Form { field: "date" });
        }
        let from = address::parse(mail.from.address.expose())
            .ok_or(MailMessageError::Address { field: "from.address" })?;
        let to = address::parse(mail.to.expose()).ok_or(MailMessageError::Address { field: "to" })?;
        let envelope =
            Envelope::new(Some(from.clone()), vec![to.clone()]).map_err(|_| MailMessageError::Compose)?;

        let mut builder = Message::builder()
            .date(SystemTime::from(mail.date.and_utc()))
            .from(Mailbox::new(mail.from.name.clone(), from))
            .to(Mailbox::new(None, to))
            .subject(mail.subject.as_str())
            .message_id(Some(format!("<{}>", mail.message_id)))
            // RFC 3834: absence notes are not wanted.
            .raw_header(HeaderValue::new(
                HeaderName::new_from_ascii_str("Auto-Submitted"),
                "auto-generated".to_owned(),
            ))
            .envelope(envelope.clone());
        if let Some(trace_id) = &mail.trace_id {
            builder = builder
                .raw_header(HeaderValue::new(HeaderName::new_from_ascii_str("Trace-Id"), trace_id.clone()));
        }
        let message = builder.multipart(body(mail)?).map_err(|_| MailMessageError::Compose)?;
        Ok(Self { message_id: mail.message_id.clone(), envelope, bytes: message.formatted() })
    }
}

fn body(mail: &MailMessage) -> Result<MultiPart, MailMessageError> {
    let text = |content_type, text: &str| {
        SinglePart::builder()
            .header(content_type)
            .header(ContentTransferEncoding::Base64)
            .body(text.to_owned())
    };
    let alternative = MultiPart::alternative()
        .boundary(boundary("alternative", &mail.message_id))
        .singlepart(text(ContentType::TEXT_PLAIN, &mail.text))
        .singlepart(text(ContentType::TEXT_HTML, &mail.html));
    if mail.attachments.is_empty() {
        return Ok(alternative);
    }
    let mut mixed = MultiPart::mixed().boundary(boundary("mixed", &mail.message_id)).multipart(alternative);
    for attachment in &mail.attachments {
        let media_type = ContentType::parse(&attachment.media_type)
            .map_err(|_| MailMessageError::Form { field: "attachments.media_type" })?;
        mixed = mixed.singlepart(
            AttachmentPart::new(attachment.file_name.clone()).body(attachment.bytes.clone(), media_type),
        );
    }
    Ok(mixed)
}

/// A boundary of 38 characters, the same for the same part of the same mail.
fn boundary(part: &str, message_id: &str) -> String {
    format!("=_{}", hex::encode(&Sha256::digest(format!("{part} {message_id}"))[..18]))
}

/// Controls, and the two separators that some programs take for line breaks.
fn breaks_a_line(character: char) -> bool {
    character.is_control() || matches!(character, '\u{2028}' | '\u{2029}')
}

/// A Message-ID that is also safe as a file name.
fn is_message_id(text: &str) -> bool {
    let safe = |part: &str| {
        !part.is_empty()
            && !part.starts_with(['.', '-'])
            && part.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"._-".contains(&byte))
    };
    text.len() <= 200 && text.split_once('@').is_some_and(|(left, right)| safe(left) && safe(right))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn mail() -> MailMessage {
        MailMessage {
            message_id: "0f1e2d3c@hosho.example.jp".to_owned(),
            date: chrono::NaiveDate::from_ymd_opt(2026, 7, 1)
                .unwrap()
                .and_hms_micro_opt(1, 2, 3, 456)
                .unwrap(),
            from: Sender {
                name: Some("東日本サンプル保証株式会社".to_owned()),
                address: "hosho@example.jp".into(),
            },
            to: "taro@example.com".into(),
            subject: "発行完了のお知らせ".to_owned(),
            text: "一行目\n.二行目\n".to_owned(),
            html: "<p>一行目</p>".to_owned(),
            attachments: vec![Attachment {
                file_name: "お知らせ_31074-00001M.pdf".to_owned(),
                media_type: "application/pdf".to_owned(),
                bytes: vec![0, 13, 10, 255],
            }],
            trace_id: Some("4bf92f3577b34da6a3ce929d0e0e4736".to_owned()),
        }
    }

    #[test]
    fn same_mail_has_the_same_ascii_bytes() {
        let first = EncodedMail::encode(&mail()).unwrap().bytes;
        assert_eq!(EncodedMail::encode(&mail()).unwrap().bytes, first);
        let text = String::from_utf8(first).unwrap();
        assert!(text.is_ascii() && text.ends_with("--\r\n"));
        assert!(text.split("\r\n").all(|line| line.len() <= 100 && !line.contains(['\r', '\n'])), "{text}");
        assert!(text.contains("Message-ID: <0f1e2d3c@hosho.example.jp>\r\n"));
        assert!(text.contains("Date: Wed, 01 Jul 2026 01:02:03 +0000\r\n"));
        assert!(text.contains("Auto-Submitted: auto-generated\r\n"));
        let mut other = mail();
        other.message_id.insert(0, 'x');
        assert_ne!(boundary("mixed", &other.message_id), boundary("mixed", &mail().message_id));
    }

    #[test]
    fn rejects_line_breaks_in_header_fields() {
        type Spoil = fn(&mut MailMessage, &str);
        let fields: [(&str, Spoil); 7] = [
            ("message_id", |mail, text| mail.message_id.push_str(text)),
            ("from.name", |mail, text| mail.from.name = Some(format!("保証{text}"))),
            ("from.address", |mail, text| mail.from.address = format!("hosho@example.jp{text}").into()),
            ("to", |mail, text| mail.to = format!("taro@example.com{text}").into()),
            ("subject", |mail, text| mail.subject.push_str(text)),
            ("attachments.file_name", |mail, text| mail.attachments[0].file_name.push_str(text)),
            ("attachments.media_type", |mail, text| mail.attachments[0].media_type.push_str(text)),
        ];
        for (field, spoil) in fields {
            for text in ["\r\nBcc: victim@example.com", "\n", "\r", "\0", "\u{85}", "\u{2028}"] {
                let mut mail = mail();
                spoil(&mut mail, text);
                let error = EncodedMail::encode(&mail).err().unwrap();
                assert_eq!(error, MailMessageError::ControlCharacter { field }, "{text:?}");
                assert!(!error.to_string().contains("victim"));
            }
        }
    }

    #[test]
    fn rejects_ids_and_dates_unusable_in_headers() {
        for id in [
            "",
            "a",
            "@b",
            "a@",
            "../a@b",
            "a/b@c",
            "<a@b>",
            "a@b@c",
            ".a@b",
            &format!("{}@b", "a".repeat(200)),
        ] {
            let refused = EncodedMail::encode(&MailMessage { message_id: id.to_owned(), ..mail() }).err();
            assert_eq!(refused, Some(MailMessageError::Form { field: "message_id" }), "{id}");
        }
        let refused = EncodedMail::encode(&MailMessage { date: NaiveDateTime::MIN, ..mail() }).err();
        assert_eq!(refused, Some(MailMessageError::Form { field: "date" }));
        assert_eq!(
            EncodedMail::encode(&MailMessage { to: "taro".into(), ..mail() }).err(),
            Some(MailMessageError::Address { field: "to" })
        );
    }
}
