//! Changes of guarantees (rules 2 to 5 and 12).

use hosho_schema::snapshots::Change;

use super::{Codes, alone, cases, day};
use crate::{
    guarantee_history::{
        check_version,
        tests::{amendment, apply_all, cancellation, correction, first, reversal},
    },
    number::GuaranteeNumber,
    violation::{Breach, Violation},
};

/// The code of the first impossible change.
fn applied(changes: &[Change]) -> Codes {
    apply_all(&mut first(), changes).err().into_iter().collect()
}

fn version(version: i64, pending: &[i64], settled: &[i64]) -> Codes {
    check_version(version, pending, settled).into_iter().map(|violation| violation.code.as_str()).collect()
}

fn number(given: &str) -> Codes {
    alone(GuaranteeNumber::parse(given).err().map(|_| Breach::GuaranteeMalformed { given: given.to_owned() }))
}

cases! {
    change_id_reused = "change.id_reused" {
        kept "the first time": applied(&[]);
        // The stage that stores changes compares the content, and tests it.
        broken "another content": vec![Violation::change_id_reused("portal", "c-1").code.as_str()];
    }
    guarantee_malformed = "guarantee.malformed" {
        kept "half width": number("31075-00001M");
        kept "full width": number(" ３１０７５－００００１Ｍ");
        broken "too short": number("31075-0001M");
        broken "nothing": number("");
    }
    guarantee_unknown = "guarantee.unknown" {
        kept "known": applied(&[]);
        // The stage looks up the guarantee, and tests it.
        broken "unknown": alone(Some(Breach::GuaranteeUnknown { given: "31075-00001M".to_owned() }));
    }
    guarantee_ended = "guarantee.ended" {
        kept "in force": applied(&[amendment(1, 0), amendment(2, 0)]);
        broken "an amendment after the end": applied(&[cancellation(day(2026, 12, 31)), amendment(1, 0)]);
        broken "a second end": applied(&[cancellation(day(2026, 12, 31)), cancellation(day(2026, 12, 31))]);
    }
    version_not_positive = "version.not_positive" {
        kept "1": version(1, &[], &[]);
        broken "0": version(0, &[], &[]);
        broken "less": version(-1, &[], &[]);
    }
    version_taken = "version.taken" {
        kept "the next": version(3, &[2], &[1]);
        kept "between two pending ones": version(2, &[1, 3], &[]);
        broken "of a pending one": version(2, &[2], &[]);
        broken "of one in effect": version(1, &[2], &[1]);
    }
    version_outdated = "version.outdated" {
        kept "behind the latest": version(5, &[], &[1, 4]);
        broken "before the latest": version(3, &[], &[1, 4]);
    }
    revision_unknown = "revision.unknown" {
        kept "the current one": applied(&[amendment(1, 0), correction(1, 2, 0)]);
        kept "the first": applied(&[correction(0, 2, 0)]);
        broken "none of that number": applied(&[correction(1, 2, 0)]);
        broken "a reversed one": applied(&[amendment(1, 0), reversal(1), reversal(1)]);
        broken "less than none": applied(&[correction(-1, 2, 0)]);
    }
    revision_not_an_amendment = "revision.not_an_amendment" {
        kept "an amendment": applied(&[amendment(1, 0), reversal(1)]);
        broken "the first": applied(&[reversal(0)]);
    }
    cancelled_on_before_issue = "cancelled_on.before_issue" {
        kept "on the day of issue": applied(&[cancellation(day(2026, 11, 20))]);
        broken "the day before": applied(&[cancellation(day(2026, 11, 19))]);
    }
}
