//! How PostgreSQL finds rows for the stages.

use std::path::Path;

use crate::harness::{
    evidence::{application, lines},
    postgres::{self, Session},
    rabbit,
    test_env::{TestEnv, example, identities},
};

/// Tables that grow with every application.
const GROWING: &str = "'application', 'engagement', 'guarantee', 'revision', 'authentication_key', 'document', 'mail', 'chain_head'";

/// A plan that was made while a table was empty is kept: it must be one by key, or each lookup reads what has come since.
#[test]
fn the_stages_read_no_table_whole_not_even_in_a_new_database() {
    let database = postgres::database("plans");
    let mut env = TestEnv::on("plans", &rabbit::shared().url(), &database);
    let mut sql = Session::connect(&database);
    let read_whole = |sql: &mut Session| {
        let rows = sql.query(&format!(
            "select relname, seq_scan::text from pg_stat_user_tables where relname in ({GROWING}) order by 1"
        ));
        rows.into_iter().map(|row| row.into_iter().flatten().collect()).collect::<Vec<Vec<String>>>()
    };
    let before = read_whole(&mut sql);
    assert_eq!(before.len(), GROWING.split(',').count(), "{before:?}");
    let file = example("applications.jsonl");
    work_off(&mut env, &file);
    assert_eq!(read_whole(&mut sql), before);
}

/// What a lookup by ids also says of a state must not lead to every mail that was ever in it: of those that are, there are none.
#[test]
fn mails_are_found_by_their_ids_and_not_by_their_state() {
    let database = postgres::database("plans_of_mails");
    let mut env = TestEnv::on("plans_of_mails", &rabbit::shared().url(), &database);
    let mut sql = Session::connect(&database);
    work_off(&mut env, &example("applications.jsonl"));
    sql.query("analyze");
    let file = env.path("more.jsonl");
    let more: Vec<String> =
        (0..60).map(|number| application(&format!("MORE-{number}")).to_string()).collect();
    std::fs::write(&file, more.join("\n")).unwrap();
    let before = read_by_state(&mut sql);
    work_off(&mut env, &file);
    assert_eq!(read_by_state(&mut sql), before);
}

/// Has applications worked off by a worker of their own. A session tells what it has read when it ends, at the latest.
fn work_off(env: &mut TestEnv, file: &Path) {
    let worker = env.work(&[]);
    env.succeed(&["enqueue", file.to_str().unwrap()]);
    env.until_complete(&identities(file), lines(file).len());
    env.until_idle();
    assert!(env.drain(worker).is_empty());
}

/// How often the indexes were asked that know mails by their state.
fn read_by_state(sql: &mut Session) -> Vec<Vec<String>> {
    let question = "select indexrelname, idx_scan::text from pg_stat_user_indexes where indexrelname in ('mail_open', 'mail_sending') order by 1";
    let rows: Vec<Vec<String>> =
        sql.query(question).into_iter().map(|row| row.into_iter().flatten().collect()).collect();
    assert_eq!(rows.len(), 2, "{rows:?}");
    rows
}
