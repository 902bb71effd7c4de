//! Whether a product may be electronic for these works at this obligee (rule 1).

use hosho_schema::messages::ProductV1;

use super::{form::Section, works::WorksSection};
use crate::{
    bilingual::Bilingual,
    obligee::{Basis, Obligee, Refusal},
    violation::Breach,
    wareki,
};

pub(super) type FieldBreach = (String, Breach);

/// Rule 1. The messages recommend paper, which every obligee accepts.
/// A rule of its own reports an absent contract date. If not all dates are valid, only the violations that
/// no date decides are reported.
pub(super) fn check_electronic(
    section: Section,
    product: ProductV1,
    obligee: &Obligee,
    works: &WorksSection,
) -> Option<FieldBreach> {
    let (kind, name) = (works.works.kind, obligee.name.clone());
    let breach = match obligee.accepts(product, kind, &works.dates).err()? {
        Refusal::DateMissing(_) | Refusal::TooEarly { .. } if !works.dates_valid => return None,
        Refusal::PaperOnly => Breach::ObligeeNotElectronic { obligee: name },
        Refusal::Product => Breach::ObligeeProductNotAccepted { obligee: name, product },
        Refusal::Kind => Breach::ObligeeKindNotAccepted { obligee: name, kind },
        Refusal::DateMissing(start) => {
            let (basis, on) = (start.basis.ja(), wareki::format(start.on));
            let what = Bilingual::new(
                format!("電子保証の対象（{basis}が{on}以後のもの）かどうか"),
                format!("electronic guarantees (taken from {} on)", start.on),
            );
            return date_missing(obligee, start.basis, what);
        }
        Refusal::TooEarly { start, counted } => Breach::ObligeeNotYetElectronic {
            obligee: name,
            basis: start.basis,
            start: start.on,
            date: works.dates.label(start.basis),
            counted,
        },
    };
    Some((section.path_to("medium"), breach))
}

/// The absent date of a basis, unless the rule of the contract date reports it.
pub(super) fn date_missing(obligee: &Obligee, basis: Basis, what: Bilingual) -> Option<FieldBreach> {
    match basis {
        Basis::ContractDate | Basis::OriginalContract => None,
        _ => Some((
            Section::Works.path_to(basis.field()),
            Breach::ObligeeDateMissing { obligee: obligee.name.clone(), basis, what },
        )),
    }
}
