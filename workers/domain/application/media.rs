//! Media and obligee: whether a product may be electronic here, for these works, on their day (rules 1 and 2).

use hosho_schema::messages::{ProductV1, WorksKindV1};

use super::super::{
    obligee::{Basis, Dates, Obligee, Refusal},
    violation::{Breach, told::Both},
    wareki,
};

/// The field of the works that a breach points at, or the medium of the product itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum At {
    Medium,
    Works(&'static str),
}

/// Rule 1. Paper stays available everywhere, and the messages say so.
///
/// An absent contract date is no breach here: an advance without one breaks a rule of its own. Where not all dates could be read, only
/// what no date decides is told.
pub(super) fn electronic(
    product: ProductV1,
    kind: WorksKindV1,
    obligee: &Obligee,
    dates: &Dates,
    all_dates: bool,
) -> Option<(At, Breach)> {
    let name = obligee.name.clone();
    Some(match obligee.accepts(product, kind, dates).err()? {
        Refusal::DateMissing(_) | Refusal::TooEarly { .. } if !all_dates => return None,
        Refusal::PaperOnly => (At::Medium, Breach::ObligeeNotElectronic { obligee: name }),
        Refusal::Product => (At::Medium, Breach::ObligeeProductNotAccepted { obligee: name, product }),
        Refusal::Kind => (At::Medium, Breach::ObligeeKindNotAccepted { obligee: name, kind }),
        Refusal::DateMissing(start) => {
            let (basis, on) = (start.basis.ja(), wareki::format(start.on));
            let what = Both {
                ja: format!("電子保証の対象（{basis}が{on}以後のもの）かどうか"),
                en: format!("electronic guarantees (taken from {} on)", start.on),
            };
            return date_missing(obligee, start.basis, what);
        }
        Refusal::TooEarly { start, counted } => (
            At::Medium,
            Breach::ObligeeNotYetElectronic {
                obligee: name,
                basis: start.basis,
                start: start.on,
                date: dates.named(start.basis),
                counted,
            },
        ),
    })
}

/// The date that decides about something at this obligee is absent.
pub(super) fn date_missing(obligee: &Obligee, basis: Basis, what: Both) -> Option<(At, Breach)> {
    match basis {
        Basis::ContractDate | Basis::OriginalContract => None,
        _ => Some((
            At::Works(basis.field()),
            Breach::ObligeeDateMissing { obligee: obligee.name.clone(), basis, what },
        )),
    }
}
