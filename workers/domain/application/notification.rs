//! 電子保証発行完了のお知らせ and 担当者.

use hosho_schema::{
    messages::{ContactV1, NotificationV1},
    snapshots::Contact,
};

use super::{
    super::text::{self, Lines},
    Code, Field, Form, Limit,
};

/// Characters of a mail address at most (RFC 5321: a path of 256 with its angle brackets).
const LONGEST_ADDRESS: usize = 254;

/// Where the mail goes; `None` for 希望しない. No message repeats the address.
pub(super) fn mail_address(form: &mut Form<'_>, wire: &NotificationV1, is_address: &(dyn Fn(&str) -> bool + Sync)) -> Option<String> {
    const PATH: &str = "$.notification.mail_address";
    if !wire.wanted {
        return None;
    }
    let typed = text::trim(wire.mail_address.as_deref().unwrap_or_default());
    if typed.is_empty() {
        form.report(
            Code::MailAddressRequired,
            PATH,
            "電子保証発行完了のお知らせを希望される場合は、メールアドレスが必要です。".to_owned(),
            "is required when the notification is wanted".to_owned(),
        );
        return None;
    }
    // A line feed in an address would be a header of the mail: told by its own rule, with the position.
    if text::fault(typed, Lines::One).is_some() {
        form.required(&Field::new(PATH, "メールアドレス"), typed, Limit { characters: usize::MAX, printed: false, lines: Lines::One });
    } else if !(typed.is_ascii() && typed.len() <= LONGEST_ADDRESS && is_address(typed)) {
        form.report(
            Code::MailAddressMalformed,
            PATH,
            "メールアドレスの形式が正しくありません。半角で「名前@ドメイン」の形でご入力ください。".to_owned(),
            "is not a mail address in ASCII".to_owned(),
        );
    }
    Some(typed.to_owned())
}

pub(super) fn contact(form: &mut Form<'_>, wire: &ContactV1) -> Contact {
    let mut note = |name: &str, ja: &str, value: &Option<String>| {
        form.optional(&Field::new(format!("$.contact.{name}"), ja), value.as_deref(), Limit::NOTE)
    };
    Contact {
        department: note("department", "担当部署", &wire.department),
        position: note("position", "役職", &wire.position),
        name: note("name", "担当者名", &wire.name),
        telephone: note("telephone", "連絡先電話番号", &wire.telephone).map(|number| text::telephone(&number)),
        remarks: form.optional(&Field::new("$.contact.remarks", "連絡事項"), wire.remarks.as_deref(), Limit::REMARKS),
    }
}
