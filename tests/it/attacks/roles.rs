//! The program runs with no more rights than it needs.

use crate::harness::{
    evidence::lines,
    postgres::{self, Session},
    rabbit,
    test_env::{TestEnv, example, identities},
};

/// The role of the program may read and write rows, and create nothing.
#[test]
fn database_role_without_ddl_is_enough() {
    let database = postgres::database("without_ddl");
    let mut env = TestEnv::on("without_ddl", &rabbit::shared().url(), &database);
    let mut sql = Session::connect(&database);
    for statement in [
        "revoke create on schema public from public",
        "create role without_ddl login",
        "grant usage on schema public to without_ddl",
        "grant select, insert, update, delete on all tables in schema public to without_ddl",
        "grant usage, select on all sequences in schema public to without_ddl",
    ] {
        sql.query(statement);
    }
    env.database = database.replace("//hosho@", "//without_ddl@");
    assert_ne!(env.database, database);
    let file = example("applications.jsonl");
    let worker = env.work(&[]);
    env.enqueue_from_python(&file);
    env.until_complete(&identities(&file), lines(&file).len());
    env.until_idle();
    assert!(env.drain(worker).is_empty());
    env.succeed(&["migrate", "--check"]);
    env.succeed(&["status", &identities(&file)[0].1]);
    let report: serde_json::Value = serde_json::from_slice(&env.run(&["doctor", "--json"]).stdout).unwrap();
    assert!(!report.to_string().contains("permission denied"), "{report}");
    // A table that the owner has not made yet is missing, not forbidden.
    sql.query("drop table __diesel_schema_migrations");
    let check = env.run(&["migrate", "--check"]);
    assert_eq!(check.status.code(), Some(1), "{}", String::from_utf8_lossy(&check.stderr));
}
