//! Numbers and visibility of a certificate's revisions (rules 4 and 5).
//!
//! Revisions are only ever added, each by a step of one of five kinds. Number, visibility and the current
//! revision are computed from the list of steps, so no stored state can contradict it.
//!
//! Our decisions: a correction replaces its target under the same 変更 number. A reversal makes the visible
//! revision before its target the current one. The number of a reversed amendment is not reused, because its
//! certificate was handed out.

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Step {
    /// 新規: the first certificate.
    New,
    /// 変更: restates the whole content after a contract change.
    Amendment,
    /// 訂正 of the revision made by the step at this index.
    Correction(i64),
    /// 変更取消 of the revision made by the step at this index.
    Reversal(i64),
    /// 解約: no step follows it.
    Cancellation,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum StepError {
    #[error("step {0}: a guarantee begins with one new certificate")]
    Beginning(i64),
    #[error("step {0}: its target is not a visible revision before it")]
    Target(i64),
    #[error("step {0}: only an amendment can be reversed")]
    NotAnAmendment(i64),
    #[error("step {0}: nothing comes after a cancellation")]
    Ended(i64),
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Revision {
    /// Index of the step.
    pub revision: i64,
    /// 0 is 新規, n is 変更－n.
    pub number: i64,
    /// Whether the contractor's history shows it.
    pub visible: bool,
}

/// A reversal and a cancellation make no certificate.
pub fn number_revisions(steps: &[Step]) -> Result<Vec<Revision>, StepError> {
    let mut revisions: Vec<Revision> = Vec::new();
    let (mut last, mut ended) = (0, false);
    for (step, kind) in (0_i64..).zip(steps) {
        let target = |at: i64| {
            revisions
                .iter()
                .position(|revision| revision.revision == at && revision.visible)
                .ok_or(StepError::Target(step))
        };
        if ended {
            return Err(StepError::Ended(step));
        }
        if (step == 0) != (*kind == Step::New) {
            return Err(StepError::Beginning(step));
        }
        let number = match *kind {
            Step::New => Some(0),
            Step::Amendment => {
                last += 1;
                Some(last)
            }
            Step::Correction(at) => {
                let replaced = target(at)?;
                revisions[replaced].visible = false;
                Some(revisions[replaced].number)
            }
            Step::Reversal(at) => {
                let reversed = target(at)?;
                if revisions[reversed].number == 0 {
                    return Err(StepError::NotAnAmendment(step));
                }
                revisions[reversed].visible = false;
                None
            }
            Step::Cancellation => {
                ended = true;
                None
            }
        };
        revisions.extend(number.map(|number| Revision { revision: step, number, visible: true }));
    }
    Ok(revisions)
}

/// Returns the current revision: the visible one with the highest number.
pub fn current(revisions: &[Revision]) -> Option<Revision> {
    revisions.iter().filter(|revision| revision.visible).max_by_key(|revision| revision.number).copied()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn visible(steps: &[Step]) -> (Vec<i64>, Option<i64>) {
        let revisions = number_revisions(steps).unwrap();
        let numbers =
            revisions.iter().filter(|revision| revision.visible).map(|revision| revision.number).collect();
        (numbers, current(&revisions).map(|revision| revision.revision))
    }

    #[test]
    fn numbers_and_hides_revisions_step_by_step() {
        use Step::{Amendment, Correction, New, Reversal};
        let steps = [New, Amendment, Correction(1), Amendment, Reversal(3), Amendment];
        for (count, numbers, current) in [
            (1, vec![0], 0),
            (2, vec![0, 1], 1),
            (3, vec![0, 1], 2),
            (4, vec![0, 1, 2], 3),
            (5, vec![0, 1], 2),
            // The number of the reversed amendment is not reused.
            (6, vec![0, 1, 3], 5),
        ] {
            assert_eq!(visible(&steps[..count]), (numbers, Some(current)), "{count}");
        }
        // A later correction of 新規 does not become the current revision.
        assert_eq!(visible(&[New, Amendment, Correction(0)]), (vec![1, 0], Some(1)));
    }

    #[test]
    fn rejects_impossible_steps() {
        use Step::{Amendment, Cancellation, Correction, New, Reversal};
        for (steps, error) in [
            (vec![Amendment], StepError::Beginning(0)),
            (vec![New, New], StepError::Beginning(1)),
            (vec![New, Correction(1)], StepError::Target(1)),
            (vec![New, Cancellation, Amendment], StepError::Ended(2)),
            (vec![Cancellation], StepError::Beginning(0)),
            (vec![New, Reversal(0)], StepError::NotAnAmendment(1)),
            (vec![New, Amendment, Correction(1), Reversal(1)], StepError::Target(3)),
            (vec![New, Amendment, Reversal(1), Correction(1)], StepError::Target(3)),
            (vec![New, Amendment, Reversal(1), Reversal(2)], StepError::Target(3)),
        ] {
            assert_eq!(number_revisions(&steps), Err(error), "{steps:?}");
        }
    }
}
