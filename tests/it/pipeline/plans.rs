//! Query plans of the stages on PostgreSQL.

use std::path::Path;

use crate::harness::{
    evidence::{application, lines},
    postgres::{self, Session},
    rabbit,
    test_env::{TestEnv, example, identities},
};

/// Tables that grow with every application.
const GROWING: &str = "'application', 'engagement', 'guarantee', 'revision', 'authentication_key', 'document', 'mail', 'chain_head'";

/// A plan prepared on an empty table stays in use.
/// Without the key, each lookup would scan the grown table.
#[test]
fn stages_scan_no_table_in_a_new_database() {
    let database = postgres::database("plans");
    let mut env = TestEnv::on("plans", &rabbit::shared().url(), &database);
    let mut sql = Session::connect(&database);
    let sequential_scans = |sql: &mut Session| {
        let rows = sql.query(&format!(
            "select relname, seq_scan::text from pg_stat_user_tables where relname in ({GROWING}) order by 1"
        ));
        rows.into_iter().map(|row| row.into_iter().flatten().collect()).collect::<Vec<Vec<String>>>()
    };
    let before = sequential_scans(&mut sql);
    assert_eq!(before.len(), GROWING.split(',').count(), "{before:?}");
    let file = example("applications.jsonl");
    process(&mut env, &file);
    assert_eq!(sequential_scans(&mut sql), before);
}

/// A lookup by ids and state must not use the partial index of the state.
/// That index has an entry for every mail that was in the state since the last vacuum.
#[test]
fn finds_mails_by_id_instead_of_state() {
    let database = postgres::database("plans_of_mails");
    let mut env = TestEnv::on("plans_of_mails", &rabbit::shared().url(), &database);
    let mut sql = Session::connect(&database);
    process(&mut env, &example("applications.jsonl"));
    sql.query("analyze");
    let file = env.path("more.jsonl");
    let more: Vec<String> =
        (0..60).map(|number| application(&format!("MORE-{number}")).to_string()).collect();
    std::fs::write(&file, more.join("\n")).unwrap();
    let before = scans_by_state(&mut sql);
    process(&mut env, &file);
    assert_eq!(scans_by_state(&mut sql), before);
}

/// Processes applications with a new worker.
/// PostgreSQL counts the scans of a session at the latest when it ends.
fn process(env: &mut TestEnv, file: &Path) {
    // The jobs of the schedule search by state.
    let never = "0 0 0 29 2 *";
    let worker = env.work(&[("SCHEDULE__RESEND", never), ("SCHEDULE__RECOVER", never)]);
    env.succeed(&["enqueue", file.to_str().unwrap()]);
    env.until_complete(&identities(file), lines(file).len());
    env.until_idle();
    assert!(env.drain(worker).is_empty());
}

/// Scans of the partial indexes of mails by state.
fn scans_by_state(sql: &mut Session) -> Vec<Vec<String>> {
    let statement = "select indexrelname, idx_scan::text from pg_stat_user_indexes where indexrelname in ('mail_open', 'mail_sending') order by 1";
    let rows: Vec<Vec<String>> =
        sql.query(statement).into_iter().map(|row| row.into_iter().flatten().collect()).collect();
    assert_eq!(rows.len(), 2, "{rows:?}");
    rows
}
