//! Dead letters during database failures, and those that other programs publish.

use crate::harness::{
    amqp::{properties, text},
    postgres::Postgres,
    process::eventually,
    test_env::{LIMIT, TestEnv},
};

#[test]
fn stores_dead_letters_after_a_database_outage() {
    let mut postgres = Postgres::new();
    let url = postgres.database("stopped");
    let mut env = TestEnv::on("database_stopped", &crate::harness::rabbit::shared().url(), &url);
    let client = env.client();
    let worker = env.work(&[]);
    let work = format!("{}work", env.prefix);
    let publish = |from: usize, to: usize| {
        for number in from..to {
            client.publish(&work, "validate", b"{", properties(&format!("m-{number}"), &[]));
        }
    };
    publish(0, 5);
    env.until_failed(5);
    // An undecodable body becomes a dead letter without the database.
    postgres.stop();
    publish(5, 45);
    env.until_logged("Message dead-lettered", 45);
    eventually("the queue of the stage to be empty", LIMIT, || {
        (env.depths()["stage.validate"] == 0).then_some(())
    });
    postgres.start();
    env.until_failed(45);
    assert!(env.drain(worker).is_empty());
    let (_, groups) = env.items(&["failed", "groups"]);
    assert_eq!((groups.as_array().unwrap().len(), groups[0]["count"].as_u64()), (1, Some(45)), "{groups}");
    let (_, rows) = env.items(&["failed", "list", "--limit", "100"]);
    assert!(rows.as_array().unwrap().iter().all(|row| row["letters"] == 1), "{rows}");
}

/// Ends a connection that writes two failed messages in one transaction.
const CRASH_ON_TWO: &str = "create function crash_on_two() returns trigger language plpgsql as $$
    begin
        if exists (select 1 from failed_message where xmin = pg_current_xact_id()::xid) then
            perform pg_terminate_backend(pg_backend_pid());
        end if;
        return new;
    end $$;
    create trigger crash_on_two before insert on failed_message for each row execute function crash_on_two();";

#[test]
fn stores_dead_letters_singly_when_their_batch_fails() {
    let postgres = Postgres::new();
    let url = postgres.database("singly");
    let mut env = TestEnv::on("singly", &crate::harness::rabbit::shared().url(), &url);
    postgres.execute(url.rsplit('/').next().unwrap(), CRASH_ON_TWO);
    let client = env.client();
    for number in 0..20 {
        client.publish(
            &format!("{}dead", env.prefix),
            "mint",
            b"{}",
            properties(&format!("m-{number}"), &[]),
        );
    }
    let worker = env.work(&[]);
    env.until_failed(20);
    let (_, rows) = env.items(&["failed", "list", "--limit", "100"]);
    assert!(rows.as_array().unwrap().iter().all(|row| row["letters"] == 1), "{rows}");
    assert!(env.drain(worker).is_empty());
}

#[test]
fn distinguishes_dead_letters_of_other_programs() {
    let mut env = TestEnv::new("rejecting");
    let client = env.client();
    client.publish(&format!("{}work", env.prefix), "render.bulk", b"{}", properties("rejected", &[]));
    client.reject(&format!("{}stage.render.bulk", env.prefix));
    let named = properties(
        "山田 太郎",
        &[("x-contact", text("髙橋 花子")), ("hosho-fault", text("to taro@example.jp"))],
    );
    client.publish(&format!("{}dead", env.prefix), "mint", b"{}", named);
    let worker = env.work(&[]);
    env.until_failed(2);
    let (_, rows) = env.items(&["failed", "list"]);
    let mut found: Vec<(&str, &str, &str)> = rows
        .as_array()
        .unwrap()
        .iter()
        .map(|row| {
            (row["stage"].as_str().unwrap(), row["origin"].as_str().unwrap(), row["code"].as_str().unwrap())
        })
        .collect();
    found.sort_unstable();
    assert_eq!(found, [("mint", "rejected", "message.foreign"), ("render", "rejected", "delivery.rejected")]);
    // Headers are masked like the body.
    let id =
        rows.as_array().unwrap().iter().find(|row| row["stage"] == "mint").unwrap()["id"].as_str().unwrap();
    for command in [
        &["failed", "list", "--json"][..],
        &["failed", "show", id],
        &["failed", "show", id, "--json"],
        &["failed", "export"],
    ] {
        let shown = env.succeed(command);
        for secret in ["山田", "髙橋", "花子", "taro"] {
            assert!(!shown.contains(secret), "{command:?} shows {secret}: {shown}");
        }
    }
    assert_eq!(env.json(&["failed", "show", id]).1["headers"]["x-contact"], "***");
    let (_, revealed) = env.json(&[&["failed", "show", id, "--reveal"][..], super::WHY].concat());
    assert_eq!(
        (&revealed["message_id"], &revealed["headers"]["x-contact"]),
        (&"山田 太郎".into(), &"髙橋 花子".into())
    );
    assert!(env.drain(worker).is_empty());
}
