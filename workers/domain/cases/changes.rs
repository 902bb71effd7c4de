//! Changes of guarantees (rules 2 to 5 and 12).

use hosho_schema::snapshots::Change;

use super::{Codes, alone, cases, day};
use crate::{
    changes::{
        self,
        tests::{amendment, cancellation, correction, first, live, reversal},
    },
    number::GuaranteeNumber,
    violation::{Breach, Violation},
};

/// The code of the first of these changes that cannot take effect.
fn lived(changes: &[Change]) -> Codes {
    live(&mut first(), changes).err().into_iter().collect()
}

/// The code of a version, where others wait or have taken effect.
fn version(asked: i64, waiting: &[i64], settled: &[i64]) -> Codes {
    changes::version(asked, waiting, settled).into_iter().map(|violation| violation.code.as_str()).collect()
}

fn number(given: &str) -> Codes {
    alone(GuaranteeNumber::parse(given).err().map(|_| Breach::GuaranteeMalformed { given: given.to_owned() }))
}

cases! {
    change_id_reused = "change.id_reused" {
        kept "the first time": lived(&[]);
        // Which content came first is known to the stage that stores changes, and tested there.
        broken "another content": vec![Violation::change_id_reused("portal", "c-1").code.as_str()];
    }
    guarantee_malformed = "guarantee.malformed" {
        kept "half width": number("31075-00001M");
        kept "full width": number(" ３１０７５－００００１Ｍ");
        broken "too short": number("31075-0001M");
        broken "nothing": number("");
    }
    guarantee_unknown = "guarantee.unknown" {
        kept "known": lived(&[]);
        // Which there are is known to the stage, and tested there.
        broken "unknown": alone(Some(Breach::GuaranteeUnknown { given: "31075-00001M".to_owned() }));
    }
    guarantee_ended = "guarantee.ended" {
        kept "in force": lived(&[amendment(1, 0), amendment(2, 0)]);
        broken "an amendment after the end": lived(&[cancellation(day(2026, 12, 31)), amendment(1, 0)]);
        broken "a second end": lived(&[cancellation(day(2026, 12, 31)), cancellation(day(2026, 12, 31))]);
    }
    version_not_positive = "version.not_positive" {
        kept "1": version(1, &[], &[]);
        broken "0": version(0, &[], &[]);
        broken "less": version(-1, &[], &[]);
    }
    version_taken = "version.taken" {
        kept "the next": version(3, &[2], &[1]);
        kept "between two that wait": version(2, &[1, 3], &[]);
        broken "of one that waits": version(2, &[2], &[]);
        broken "of one that took effect": version(1, &[2], &[1]);
    }
    version_outdated = "version.outdated" {
        kept "behind the latest": version(5, &[], &[1, 4]);
        broken "before the latest": version(3, &[], &[1, 4]);
    }
    revision_unknown = "revision.unknown" {
        kept "the one that holds": lived(&[amendment(1, 0), correction(1, 2, 0)]);
        kept "the first": lived(&[correction(0, 2, 0)]);
        broken "none of that number": lived(&[correction(1, 2, 0)]);
        broken "one that was taken back": lived(&[amendment(1, 0), reversal(1), reversal(1)]);
        broken "less than none": lived(&[correction(-1, 2, 0)]);
    }
    revision_not_an_amendment = "revision.not_an_amendment" {
        kept "an amendment": lived(&[amendment(1, 0), reversal(1)]);
        broken "the first": lived(&[reversal(0)]);
    }
    cancelled_on_before_issue = "cancelled_on.before_issue" {
        kept "on the day of issue": lived(&[cancellation(day(2026, 11, 20))]);
        broken "the day before": lived(&[cancellation(day(2026, 11, 19))]);
    }
}
