//! Letters that come while nobody can write them down, and letters that others make.

use crate::harness::{
    amqp::{properties, text},
    postgres::Postgres,
    process::eventually,
    test_env::{LIMIT, TestEnv},
};

#[test]
fn letters_wait_for_a_database_that_is_away_and_none_is_lost() {
    let mut postgres = Postgres::new();
    let mut env =
        TestEnv::on("letters_away", &crate::harness::rabbit::shared().url(), &postgres.database("letters"));
    let client = env.client();
    let worker = env.work(&[]);
    let work = format!("{}work", env.prefix);
    let publish = |from: usize, to: usize| {
        for number in from..to {
            client.publish(&work, "validate", b"{", properties(&format!("letter-{number}"), &[]));
        }
    };
    publish(0, 5);
    env.until_failed(5);
    // A body that cannot be read needs no database to become a dead letter.
    postgres.stop();
    publish(5, 45);
    let tap = "Message failed for good; dead letter published";
    env.until_logged(tap, 45);
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

/// Ends the connection that writes two failed messages in one transaction: a server that dies of what is asked of it at once.
const DIES_OF_TWO: &str = "create function dies_of_two() returns trigger language plpgsql as $$
    begin
        if exists (select 1 from failed_message where xmin = pg_current_xact_id()::xid) then
            perform pg_terminate_backend(pg_backend_pid());
        end if;
        return new;
    end $$;
    create trigger dies_of_two before insert on failed_message for each row execute function dies_of_two();";

#[test]
fn letters_that_a_database_dies_of_together_are_taken_one_by_one() {
    let postgres = Postgres::new();
    let url = postgres.database("apart");
    let mut env = TestEnv::on("letters_apart", &crate::harness::rabbit::shared().url(), &url);
    postgres.execute(url.rsplit('/').next().unwrap(), DIES_OF_TWO);
    let client = env.client();
    for number in 0..20 {
        client.publish(
            &format!("{}dead", env.prefix),
            "mint",
            b"{}",
            properties(&format!("letter-{number}"), &[]),
        );
    }
    let worker = env.work(&[]);
    env.until_failed(20);
    let (_, rows) = env.items(&["failed", "list", "--limit", "100"]);
    assert!(rows.as_array().unwrap().iter().all(|row| row["letters"] == 1), "{rows}");
    assert!(env.drain(worker).is_empty());
}

#[test]
fn what_somebody_else_rejects_is_told_apart() {
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
    let mut told: Vec<(&str, &str, &str)> = rows
        .as_array()
        .unwrap()
        .iter()
        .map(|row| {
            (row["stage"].as_str().unwrap(), row["origin"].as_str().unwrap(), row["code"].as_str().unwrap())
        })
        .collect();
    told.sort_unstable();
    assert_eq!(told, [("mint", "rejected", "message.foreign"), ("render", "rejected", "delivery.rejected")]);
    // What its sender wrote beside the body is as personal as the body.
    let id =
        rows.as_array().unwrap().iter().find(|row| row["stage"] == "mint").unwrap()["id"].as_str().unwrap();
    for command in [
        &["failed", "list", "--json"][..],
        &["failed", "show", id],
        &["failed", "show", id, "--json"],
        &["failed", "export"],
    ] {
        let told = env.succeed(command);
        for secret in ["山田", "髙橋", "花子", "taro"] {
            assert!(!told.contains(secret), "{command:?} shows {secret}: {told}");
        }
    }
    assert!(env.succeed(&["failed", "show", id]).contains("x-contact: ***"));
    let revealed = env.succeed(&[&["failed", "show", id, "--reveal"][..], super::WHY].concat());
    assert!(revealed.contains("山田 太郎") && revealed.contains("x-contact: 髙橋 花子"), "{revealed}");
    assert!(env.drain(worker).is_empty());
}
