//! How PostgreSQL finds rows for the stages.

use crate::harness::{
    house::{House, example, identities},
    postgres::{self, Session},
    rabbit,
};

/// Tables that grow with every application.
const GROWING: &str = "'application', 'engagement', 'guarantee', 'certificate', 'authentication_key', 'document', 'mail', 'chain_head'";

/// A plan that was made while a table was empty is kept: it must be one by key, or each lookup reads what has come since.
#[test]
fn the_stages_read_no_table_whole_not_even_in_a_new_database() {
    let database = postgres::database("plans");
    let mut house = House::on("plans", &rabbit::shared().url(), &database);
    let mut sql = Session::connect(&database);
    let mut read_whole = || {
        let rows = sql.query(&format!("select relname, seq_scan::text from pg_stat_user_tables where relname in ({GROWING}) order by 1"));
        rows.into_iter().map(|row| row.into_iter().flatten().collect()).collect::<Vec<Vec<String>>>()
    };
    let before = read_whole();
    assert_eq!(before.len(), GROWING.split(',').count(), "{before:?}");
    let file = example("applications.jsonl");
    let worker = house.work(&[]);
    house.succeed(&["enqueue", file.to_str().unwrap()]);
    house.until_complete(&identities(&file), 16);
    house.until_idle();
    // A session tells what it has read when it ends, at the latest.
    assert!(house.drain(worker).is_empty());
    assert_eq!(read_whole(), before);
}
