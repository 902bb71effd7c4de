//! 請負契約者: a single company or a joint venture.

use hosho_schema::{
    messages::{CompanyV1, PrincipalV1},
    snapshots::{Company, Principal},
};

use super::{Code, Field, Form, Limit};

/// 構成員 besides the representative at most: a certificate names them all, and joint ventures of public works have two to ten.
const MOST_MEMBERS: usize = 20;

pub(super) fn read(form: &mut Form<'_>, wire: &PrincipalV1) -> Principal {
    match wire {
        PrincipalV1::Company { name, address, representative } => {
            let company = company(form, "$.principal", "請負契約者", name, address, representative);
            Principal { joint_venture: None, company, members: Vec::new() }
        }
        PrincipalV1::JointVenture { name, representative, members } => {
            let name = form.required(&Field::new("$.principal.name", "JV名"), name, Limit::NAME);
            let company = member(form, "$.principal.representative", "JV代表者", representative);
            count(form, members.len());
            let members = members.iter().take(MOST_MEMBERS).enumerate().map(|(index, wire)| {
                let label = format!("JV構成員（{}社目）", index + 1);
                member(form, &format!("$.principal.members[{index}]"), &label, wire)
            });
            let members = members.collect();
            Principal { joint_venture: Some(name), company, members }
        }
    }
}

fn count(form: &mut Form<'_>, members: usize) {
    const PATH: &str = "$.principal.members";
    if members == 0 {
        form.report(
            Code::MembersMissing,
            PATH,
            "JVの構成員がありません。代表者のほかに1社以上をご入力ください。".to_owned(),
            "a joint venture needs at least one member besides its representative".to_owned(),
        );
    } else if members > MOST_MEMBERS {
        form.report(
            Code::MembersTooMany,
            PATH,
            format!("JVの構成員は代表者のほかに{MOST_MEMBERS}社までです（現在{members}社）。"),
            format!("has {members} members besides the representative, at most {MOST_MEMBERS} fit"),
        );
    }
}

fn member(form: &mut Form<'_>, path: &str, label: &str, wire: &CompanyV1) -> Company {
    company(form, path, label, &wire.name, &wire.address, &wire.representative)
}

fn company(form: &mut Form<'_>, path: &str, label: &str, name: &str, address: &str, representative: &str) -> Company {
    let field = |name: &str, ja: &str| Field::new(format!("{path}.{name}"), format!("{label}の{ja}"));
    Company {
        name: form.required(&field("name", "商号"), name, Limit::NAME),
        address: form.required(&field("address", "住所"), address, Limit::ADDRESS),
        representative: form.required(&field("representative", "代表者の役職・氏名"), representative, Limit::PERSON),
    }
}
