//! The contractor (請負契約者): a company or a joint venture.

use hosho_schema::{
    messages::{CompanyV1, PrincipalV1},
    snapshots::{Company, Principal},
};

use super::form::{Field, FormReader, Section, TextLimit};
use crate::violation::Breach;

/// 構成員 besides the representative; joint ventures of public works have two to ten.
const MOST_MEMBERS: usize = 20;

pub(super) fn read(form: &mut FormReader<'_>, wire: &PrincipalV1) -> Principal {
    match wire {
        PrincipalV1::Company { name, address, representative } => {
            let company = company(form, Section::Principal, name, address, representative);
            Principal { joint_venture: None, company, members: Vec::new() }
        }
        PrincipalV1::JointVenture { name, representative, members } => {
            let name = form.required(Field::new(Section::Principal, "name", "JV名"), name, TextLimit::NAME);
            let company = member(form, Section::Representative, representative);
            if let Some(breach) = check_count(members.len()) {
                form.report("$.principal.members", &breach);
            }
            let members = members.iter().take(MOST_MEMBERS).enumerate();
            let members = members.map(|(index, wire)| member(form, Section::Member(index), wire)).collect();
            Principal { joint_venture: Some(name), company, members }
        }
    }
}

fn check_count(members: usize) -> Option<Breach> {
    match members {
        0 => Some(Breach::MembersMissing {}),
        1..=MOST_MEMBERS => None,
        _ => Some(Breach::MembersTooMany { members, most: MOST_MEMBERS }),
    }
}

fn member(form: &mut FormReader<'_>, section: Section, wire: &CompanyV1) -> Company {
    company(form, section, &wire.name, &wire.address, &wire.representative)
}

fn company(
    form: &mut FormReader<'_>,
    section: Section,
    name: &str,
    address: &str,
    representative: &str,
) -> Company {
    let whole = section == Section::Principal;
    let label = |alone: &'static str, within: &'static str| if whole { alone } else { within };
    let field = Field::new(section, "address", label("請負契約者の住所", "住所"));
    form.postal_code(field, address);
    Company {
        name: form.required(
            Field::new(section, "name", label("請負契約者の商号", "商号")),
            name,
            TextLimit::NAME,
        ),
        address: form.required(field, address, TextLimit::ADDRESS),
        representative: form.required(
            Field::new(
                section,
                "representative",
                label("請負契約者の代表者の役職・氏名", "代表者の役職・氏名"),
            ),
            representative,
            TextLimit::PERSON,
        ),
    }
}
