//! The work: dead letters, mails in doubt, pauses, workers, circuits.

use chrono::TimeDelta;

use super::{Finding, database::Rows, runs};
use crate::operations::{
    counted,
    stages::{Circuit, Fleet, REMOVED_AFTER},
    zoned,
};

/// A batch in flight for longer is stuck: a dialogue with a mail server is shorter.
const STUCK: TimeDelta = TimeDelta::minutes(15);

/// `has_workers`: other processes do the work.
pub(super) fn check(rows: &Rows, has_workers: bool) -> Vec<Finding> {
    let mut findings = vec![
        counted_rows("failed messages", rows.failed, "none open", "open", "run `hosho failed groups`"),
        counted_rows(
            "mails in doubt",
            rows.in_doubt,
            "none",
            "sent twice without a reply",
            "run `hosho mail unknown`",
        ),
    ];
    findings.extend(paused(&rows.fleet));
    findings.extend(runs::check(&rows.runs, rows.fleet.now));
    findings.extend(workers(&rows.fleet, has_workers));
    findings.extend(stuck(&rows.fleet));
    findings.extend(circuits(&rows.fleet));
    findings
}

fn counted_rows(code: &'static str, count: i64, none: &str, some: &str, hint: &str) -> Finding {
    match count {
        0 => Finding::ok(code, none),
        count => Finding::warning(code, format!("{count} {some}"), hint),
    }
}

fn paused(fleet: &Fleet) -> Vec<Finding> {
    let paused = fleet.health(None).into_iter().filter_map(|health| Some((health.name, health.paused?)));
    let findings = paused.map(|(stage, paused)| {
        let text = format!("{stage} by {}: {}", paused.actor, paused.reason);
        Finding::warning("paused", text, format!("run `hosho stages resume {stage} --reason …`"))
    });
    or_ok(findings.collect(), "paused", "no stage")
}

fn workers(fleet: &Fleet, has_workers: bool) -> Vec<Finding> {
    let (gone, running): (Vec<_>, Vec<_>) =
        fleet.workers.iter().map(|(worker, _)| worker).partition(|worker| fleet.is_gone(worker));
    let mut findings = vec![match running.len() {
        0 if !has_workers => Finding::ok("workers", "none, and none is needed: broker.url is memory"),
        0 => Finding::warning("workers", "none is running", "start `hosho work`"),
        1 => Finding::ok("workers", "1 process running"),
        count => Finding::ok("workers", format!("{count} processes running")),
    }];
    findings.extend(gone.into_iter().map(|worker| {
        let since = zoned(worker.seen_at);
        Finding::warning(
            "workers",
            format!("process {} on {} has sent no heartbeat since {since}", worker.pid, worker.host),
            format!(
                "read its log if it was not stopped on purpose; this warning clears after {}, \
                 while another worker is running",
                zoned(worker.seen_at + REMOVED_AFTER)
            ),
        )
    }));
    findings
}

fn stuck(fleet: &Fleet) -> Vec<Finding> {
    let stuck = fleet.running().filter_map(|(worker, row)| {
        let busy = row.busy_since.filter(|since| *since < fleet.now - STUCK)?;
        let text = format!(
            "{} ({}) on {}, process {}: {} in flight for {} min",
            row.stage,
            row.lane,
            worker.host,
            worker.pid,
            counted(row.held, "message"),
            (fleet.now - busy).num_minutes()
        );
        let hint = "read its log, or stop the process: other workers then take its messages";
        Some(Finding::warning("stuck deliveries", text, hint))
    });
    let ok = format!("none: no batch is in flight for longer than {} min", STUCK.num_minutes());
    or_ok(stuck.collect(), "stuck deliveries", ok)
}

fn circuits(fleet: &Fleet) -> Vec<Finding> {
    let open = fleet.health(None).into_iter().filter_map(|health| match health.circuit {
        Circuit::Open { code, text, .. } => {
            let text = format!("{} waits for a dependency ({code}: {text})", health.name);
            Some(Finding::warning("circuit", text, "restore the dependency; the stage then resumes"))
        }
        _ => None,
    });
    or_ok(open.collect(), "circuit", "closed for every stage")
}

fn or_ok(findings: Vec<Finding>, code: &'static str, text: impl Into<String>) -> Vec<Finding> {
    if findings.is_empty() { vec![Finding::ok(code, text)] } else { findings }
}

#[cfg(test)]
mod tests {
    use hosho_schema::models::worker::{Worker, WorkerStage};

    use super::super::{Severity, tests::of};
    use super::*;
    use crate::{
        broker::Lane,
        operations::stages::tests::{now, paused, worker},
    };

    fn rows(workers: Vec<(Worker, Vec<WorkerStage>)>) -> Rows {
        Rows {
            fleet: Fleet { workers, controls: Vec::new(), now: now() },
            failed: 0,
            in_doubt: 0,
            runs: Vec::new(),
            data_keys: Vec::new(),
        }
    }

    #[test]
    fn returns_one_ok_for_each_healthy_subject() {
        let running = worker("dispatch", Lane::Live, TimeDelta::zero(), |_| {});
        let findings = check(&rows(vec![running]), true);
        for code in [
            "failed messages",
            "mails in doubt",
            "paused",
            "nightly batch",
            "workers",
            "stuck deliveries",
            "circuit",
        ] {
            let found = of(&findings, code);
            assert!(matches!(found[..], [(Severity::Ok, _)]), "{code}: {found:?}");
        }
    }

    #[test]
    fn requires_workers_unless_the_broker_is_in_process() {
        let with = check(&rows(Vec::new()), true);
        assert!(matches!(of(&with, "workers")[..], [(Severity::Warning, _)]));
        let without = check(&rows(Vec::new()), false);
        assert!(matches!(of(&without, "workers")[..], [(Severity::Ok, _)]));
    }

    #[test]
    fn names_the_place_of_each_problem() {
        let live = |silent, change: fn(&mut WorkerStage)| worker("dispatch", Lane::Live, silent, change);
        let mut rows = rows(vec![
            live(TimeDelta::zero(), |row| row.busy_since = Some(now() - TimeDelta::minutes(20))),
            live(TimeDelta::zero(), |row| {
                row.open_since = Some(now());
                row.fault_code = Some("mail.unavailable".to_owned());
            }),
            live(TimeDelta::hours(1), |row| row.busy_since = Some(now() - TimeDelta::hours(2))),
        ]);
        (rows.failed, rows.in_doubt) = (1, 2);
        rows.fleet.controls.push(paused("mint"));
        let findings = check(&rows, true);
        assert_eq!(of(&findings, "failed messages"), [(Severity::Warning, "1 open")]);
        assert_eq!(of(&findings, "paused"), [(Severity::Warning, "mint by hanako: keys")]);
        assert_eq!(
            of(&findings, "stuck deliveries"),
            [(Severity::Warning, "dispatch (live) on a, process 7: 1 message in flight for 20 min")]
        );
        assert_eq!(
            of(&findings, "workers")[1],
            (Severity::Warning, "process 7 on a has sent no heartbeat since 2026-12-01 08:00:00 JST")
        );
        assert!(of(&findings, "circuit")[0].1.contains("mail.unavailable"));
    }
}
