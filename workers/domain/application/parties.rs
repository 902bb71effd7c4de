//! 請負契約者: a single company or a joint venture.

use hosho_schema::{
    messages::{CompanyV1, PrincipalV1},
    snapshots::{Company, Principal},
};

use super::{super::violation::Breach, Field, Form, Limit, form::Place};

/// 構成員 besides the representative at most: a certificate names them all, and joint ventures of public works have two to ten.
const MOST_MEMBERS: usize = 20;

pub(super) fn read(form: &mut Form<'_>, wire: &PrincipalV1) -> Principal {
    match wire {
        PrincipalV1::Company { name, address, representative } => {
            let company = company(form, Place::Principal, name, address, representative);
            Principal { joint_venture: None, company, members: Vec::new() }
        }
        PrincipalV1::JointVenture { name, representative, members } => {
            let name = form.required(Field::new(Place::Principal, "name", "JV名"), name, Limit::NAME);
            let company = member(form, Place::Representative, representative);
            if let Some(breach) = count(members.len()) {
                form.report("$.principal.members", &breach);
            }
            let members = members.iter().take(MOST_MEMBERS).enumerate();
            let members = members.map(|(index, wire)| member(form, Place::Member(index), wire)).collect();
            Principal { joint_venture: Some(name), company, members }
        }
    }
}

fn count(members: usize) -> Option<Breach> {
    match members {
        0 => Some(Breach::MembersMissing {}),
        1..=MOST_MEMBERS => None,
        _ => Some(Breach::MembersTooMany { members, most: MOST_MEMBERS }),
    }
}

fn member(form: &mut Form<'_>, place: Place, wire: &CompanyV1) -> Company {
    company(form, place, &wire.name, &wire.address, &wire.representative)
}

fn company(form: &mut Form<'_>, place: Place, name: &str, address: &str, representative: &str) -> Company {
    let whole = place == Place::Principal;
    let label = |alone: &'static str, within: &'static str| if whole { alone } else { within };
    let field = Field::new(place, "address", label("請負契約者の住所", "住所"));
    form.postal_code(field, address);
    Company {
        name: form.required(Field::new(place, "name", label("請負契約者の商号", "商号")), name, Limit::NAME),
        address: form.required(field, address, Limit::ADDRESS),
        representative: form.required(
            Field::new(
                place,
                "representative",
                label("請負契約者の代表者の役職・氏名", "代表者の役職・氏名"),
            ),
            representative,
            Limit::PERSON,
        ),
    }
}
