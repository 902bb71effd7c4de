//! 電子保証発行完了のお知らせ and 担当者.

use hosho_schema::{
    messages::{ContactV1, NotificationV1},
    snapshots::Contact,
};

use super::{
    super::{
        text::{self, Lines},
        violation::Breach,
    },
    Field, Form, Limit,
    form::Place,
};

/// Where the mail goes; `None` for 希望しない. No message repeats the address.
pub(super) fn mail_address(
    form: &mut Form<'_>,
    wire: &NotificationV1,
    normal: &(dyn Fn(&str) -> Option<String> + Sync),
) -> Option<String> {
    const FIELD: Field = Field::new(Place::Notification, "mail_address", "メールアドレス");
    if !wire.wanted {
        return None;
    }
    let typed = text::trim(wire.mail_address.as_deref().unwrap_or_default());
    if typed.is_empty() {
        form.report(FIELD.path(), &Breach::MailAddressRequired {});
        return None;
    }
    // A line feed in an address would be a header of the mail: told by its own rule, with the position.
    if text::fault(typed, Lines::One).is_some() {
        form.required(FIELD, typed, Limit { characters: usize::MAX, printed: false, lines: Lines::One });
        return None;
    }
    let normal = normal(typed);
    if normal.is_none() {
        form.report(FIELD.path(), &Breach::MailAddressMalformed {});
    }
    normal
}

pub(super) fn contact(form: &mut Form<'_>, wire: &ContactV1) -> Contact {
    let mut note = |name: &'static str, ja: &'static str, value: &Option<String>| {
        form.optional(Field::new(Place::Contact, name, ja), value.as_deref(), Limit::NOTE)
    };
    Contact {
        department: note("department", "担当部署", &wire.department),
        position: note("position", "役職", &wire.position),
        name: note("name", "担当者名", &wire.name),
        telephone: form.telephone(
            Field::new(Place::Contact, "telephone", "連絡先電話番号"),
            wire.telephone.as_deref(),
            Limit::NOTE,
        ),
        remarks: form.optional(
            Field::new(Place::Contact, "remarks", "連絡事項"),
            wire.remarks.as_deref(),
            Limit::REMARKS,
        ),
    }
}
