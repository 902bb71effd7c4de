//! The revisions of a guarantee's certificate: how they are numbered, and which of them a contractor sees (rules 4 and 5).
//!
//! Revisions are only ever added. Each is a step of one of five kinds; number, visibility and the current one follow from the row of
//! steps alone, so there is nothing to keep in step with it. Decisions of ours: a correction takes its target's place under
//! the same 変更 number; a reversal makes the visible revision before its target the current one; the number of a reversed amendment
//! is not given out again, because its certificate was.

/// What made a revision.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Step {
    /// 新規: the first one.
    New,
    /// 変更: restates the whole content after a change.
    Amendment,
    /// 訂正 of the revision at this index: the same revision, told right.
    Correction(usize),
    /// 変更取消 of the revision at this index.
    Reversal(usize),
    /// 解約: nothing comes after it.
    Cancellation,
}

/// Says why a row of steps is none.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum StepError {
    /// Something else comes first, or 新規 comes later.
    #[error("step {0}: a guarantee begins with one new certificate")]
    Beginning(usize),
    /// The target does not come before the step or is hidden.
    #[error("step {0}: its target is not a visible revision before it")]
    Target(usize),
    /// 新規 cannot be reversed, and a reversal is corrected by an amendment.
    #[error("step {0}: only an amendment can be reversed")]
    NotAnAmendment(usize),
    /// The guarantee has ended.
    #[error("step {0}: nothing comes after a cancellation")]
    Ended(usize),
}

/// A revision as numbered and seen.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Revision {
    /// Index of the step.
    pub step: usize,
    /// 0 is 新規, n is 変更－n.
    pub number: i64,
    /// Whether the contractor's history shows it.
    pub visible: bool,
}

/// Numbers the certificates that steps make (a reversal and a cancellation make none), in the order of the steps.
pub fn revisions(steps: &[Step]) -> Result<Vec<Revision>, StepError> {
    let mut made: Vec<Revision> = Vec::new();
    let (mut last, mut ended) = (0, false);
    for (step, kind) in steps.iter().enumerate() {
        let target = |at: usize| {
            made.iter()
                .position(|revision| revision.step == at && revision.visible)
                .ok_or(StepError::Target(step))
        };
        if ended {
            return Err(StepError::Ended(step));
        }
        match *kind {
            Step::New if step == 0 => made.push(Revision { step, number: 0, visible: true }),
            _ if step == 0 => return Err(StepError::Beginning(step)),
            Step::New => return Err(StepError::Beginning(step)),
            Step::Amendment => {
                last += 1;
                made.push(Revision { step, number: last, visible: true });
            }
            Step::Correction(at) => {
                let replaced = target(at)?;
                made[replaced].visible = false;
                let number = made[replaced].number;
                made.push(Revision { step, number, visible: true });
            }
            Step::Reversal(at) => {
                let reversed = target(at)?;
                if made[reversed].number == 0 {
                    return Err(StepError::NotAnAmendment(step));
                }
                made[reversed].visible = false;
            }
            Step::Cancellation => ended = true,
        }
    }
    Ok(made)
}

/// The revision that holds: the visible one with the highest number.
pub fn current(revisions: &[Revision]) -> Option<Revision> {
    revisions.iter().filter(|revision| revision.visible).max_by_key(|revision| revision.number).copied()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn seen(steps: &[Step]) -> (Vec<i64>, Option<usize>) {
        let made = revisions(steps).unwrap();
        let numbers =
            made.iter().filter(|revision| revision.visible).map(|revision| revision.number).collect();
        (numbers, current(&made).map(|revision| revision.step))
    }

    #[test]
    fn a_guarantee_lives() {
        use Step::{Amendment, Correction, New, Reversal};
        let life = [New, Amendment, Correction(1), Amendment, Reversal(3), Amendment];
        for (steps, numbers, holds) in [
            (1, vec![0], 0),
            (2, vec![0, 1], 1),
            (3, vec![0, 1], 2),
            (4, vec![0, 1, 2], 3),
            (5, vec![0, 1], 2),
            // The number of what was reversed is not given out again.
            (6, vec![0, 1, 3], 5),
        ] {
            assert_eq!(seen(&life[..steps]), (numbers, Some(holds)), "{steps}");
        }
        // What was corrected is current under its number, not under its place in time.
        assert_eq!(seen(&[New, Amendment, Correction(0)]), (vec![1, 0], Some(1)));
    }

    #[test]
    fn impossible_steps_are_refused() {
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
            assert_eq!(revisions(&steps), Err(error), "{steps:?}");
        }
    }
}
