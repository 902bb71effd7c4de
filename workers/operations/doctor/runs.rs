//! The nightly batch.

use chrono::NaiveDateTime;
use hosho_schema::models::job_run::{Run, State};

use super::Finding;
use crate::operations::{counted, zoned};

const CODE: &str = "nightly batch";

/// Judges the latest run, and the scheduled runs that were skipped since.
pub(super) fn check(runs: &[(Run, i64)], now: NaiveDateTime) -> Vec<Finding> {
    let skipped = runs.iter().take_while(|(run, _)| run.state == State::Skipped).count();
    let passed = runs.first().filter(|_| skipped > 0).map(|(run, _)| {
        let last = run.scheduled_for.as_deref().unwrap_or_default();
        Finding::warning(
            CODE,
            format!("{} skipped, the last at {last}", counted(skipped, "scheduled run")),
            "run `hosho batch list` for the reason, then `hosho batch start --reason …`",
        )
    });
    let latest = match runs.get(skipped) {
        Some((run, failed)) => Some(latest(run, *failed, now)),
        None if skipped == 0 => Some(Finding::ok(CODE, "no run yet")),
        None => None,
    };
    passed.into_iter().chain(latest).collect()
}

fn latest(run: &Run, failed: i64, now: NaiveDateTime) -> Finding {
    let id = run.id.get(..8).unwrap_or(&run.id);
    match run.state {
        State::Running if !run.is_driven(now) => Finding::warning(
            CODE,
            format!("no worker drives the run {id}"),
            "start `hosho work`: the run resumes from its checkpoint",
        ),
        State::Running => {
            Finding::ok(CODE, format!("the run {id} is running: {} of {} selected", run.selected, run.total))
        }
        State::Paused => Finding::warning(
            CODE,
            format!("the run {id} is paused: {}", run.note.as_deref().unwrap_or("no reason was given")),
            format!("run `hosho batch resume {id} --reason …`"),
        ),
        State::CompleteWithFailures if failed > 0 => Finding::warning(
            CODE,
            format!("{} of the run {id} failed", counted(failed, "guarantee")),
            format!("run `hosho failed list --run {id}`"),
        ),
        State::Complete | State::CompleteWithFailures | State::Cancelled | State::Skipped => {
            let ended = run.finished_at.map_or_else(|| "-".to_owned(), zoned);
            let state = run.state.as_text().replace('_', " ");
            Finding::ok(CODE, format!("the last run, {id}, ended {ended}: {state}"))
        }
    }
}

#[cfg(test)]
mod tests {
    use chrono::TimeDelta;

    use super::super::Severity::{self, Ok, Warning};
    use super::*;
    use crate::operations::stages::tests::now;

    fn a_run(id: &str, state: State) -> (Run, i64) {
        let run = Run {
            id: id.repeat(8),
            job: "reissue".to_owned(),
            scheduled_for: Some(format!("2026-12-01T01:30:0{id}")),
            state,
            selection: "{}".to_owned(),
            cutoff: now(),
            rate: 400,
            total: 9,
            selected: 4,
            checkpoint: String::new(),
            exhausted: false,
            reason: "night".to_owned(),
            actor: "schedule".to_owned(),
            driver: Some("w".to_owned()),
            leased_until: Some(now()),
            takeovers: 1,
            note: Some("slow relay".to_owned()),
            created_at: now(),
            finished_at: state.is_over().then(now),
            reported_at: None,
        };
        (run, 0)
    }

    fn found(runs: &[(Run, i64)]) -> Vec<(Severity, String)> {
        check(runs, now()).into_iter().map(|finding| (finding.severity, finding.text)).collect()
    }

    #[test]
    fn warns_of_runs_that_need_an_operator() {
        let one = |run: (Run, i64)| found(&[run]).remove(0);
        assert_eq!(
            one(a_run("1", State::Running)),
            (Ok, "the run 11111111 is running: 4 of 9 selected".to_owned())
        );
        for (driver, leased_until) in
            [(None, Some(now())), (Some("w".to_owned()), Some(now() - TimeDelta::seconds(1)))]
        {
            let (run, _) = a_run("1", State::Running);
            let run = Run { driver, leased_until, ..run };
            assert_eq!(one((run, 0)), (Warning, "no worker drives the run 11111111".to_owned()));
        }
        assert_eq!(
            one(a_run("1", State::Paused)),
            (Warning, "the run 11111111 is paused: slow relay".to_owned())
        );
        let (run, _) = a_run("1", State::CompleteWithFailures);
        assert_eq!(one((run, 2)), (Warning, "2 guarantees of the run 11111111 failed".to_owned()));
        let replayed = one(a_run("1", State::CompleteWithFailures));
        assert!(replayed.0 == Ok && replayed.1.ends_with("complete with failures"), "{replayed:?}");
        assert_eq!(one(a_run("1", State::Cancelled)).0, Ok);
    }

    #[test]
    fn counts_the_runs_skipped_since_the_last() {
        let skipped = [
            a_run("3", State::Skipped),
            a_run("2", State::Skipped),
            a_run("1", State::Complete),
            a_run("0", State::Skipped),
        ];
        let findings = found(&skipped);
        let text = "2 scheduled runs skipped, the last at 2026-12-01T01:30:03";
        assert_eq!(findings[0], (Warning, text.to_owned()));
        assert_eq!((findings.len(), findings[1].0), (2, Ok));
        assert_eq!(found(&skipped[..2]).len(), 1);
    }
}
