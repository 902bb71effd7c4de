//! The notification mail (電子保証発行完了のお知らせ) and the contact (担当者).

use hosho_schema::{
    messages::{ContactV1, NotificationV1},
    snapshots::Contact,
};

use super::form::{Field, FormReader, Section, TextLimit};
use crate::{
    text::{self, Lines},
    violation::Breach,
};

/// Returns `None` for 希望しない. No message repeats the address.
pub(super) fn mail_address(
    form: &mut FormReader<'_>,
    wire: &NotificationV1,
    normalise: &(dyn Fn(&str) -> Option<String> + Sync),
) -> Option<String> {
    const FIELD: Field = Field::new(Section::Notification, "mail_address", "メールアドレス");
    if !wire.wanted {
        return None;
    }
    let typed = text::trim(wire.mail_address.as_deref().unwrap_or_default());
    if typed.is_empty() {
        form.report(FIELD.path(), &Breach::MailAddressRequired {});
        return None;
    }
    // A line feed in an address could add a mail header. The rule of text characters reports it with its
    // position.
    if text::find_invalid(typed, Lines::One).is_some() {
        form.required(FIELD, typed, TextLimit { characters: usize::MAX, printed: false, lines: Lines::One });
        return None;
    }
    let normal = normalise(typed);
    if normal.is_none() {
        form.report(FIELD.path(), &Breach::MailAddressMalformed {});
    }
    normal
}

pub(super) fn contact(form: &mut FormReader<'_>, wire: &ContactV1) -> Contact {
    let mut note = |name: &'static str, ja: &'static str, value: &Option<String>| {
        form.optional(Field::new(Section::Contact, name, ja), value.as_deref(), TextLimit::NOTE)
    };
    Contact {
        department: note("department", "担当部署", &wire.department),
        position: note("position", "役職", &wire.position),
        name: note("name", "担当者名", &wire.name),
        telephone: form.telephone(
            Field::new(Section::Contact, "telephone", "連絡先電話番号"),
            wire.telephone.as_deref(),
            TextLimit::NOTE,
        ),
        remarks: form.optional(
            Field::new(Section::Contact, "remarks", "連絡事項"),
            wire.remarks.as_deref(),
            TextLimit::REMARKS,
        ),
    }
}
