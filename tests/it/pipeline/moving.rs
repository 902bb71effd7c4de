//! Documents move from a folder to a bucket while a worker stores others.

use std::time::Duration;

use hosho_schema::models::document::Document;
use serde_json::Value;

use crate::harness::{
    evidence::{application, lines},
    process::{eventually, run, spawn},
    s3::{self, Kind, S3Server},
    test_env::{LIMIT, TestEnv, example, identities},
};

#[test]
fn moves_to_a_bucket_beside_a_worker() {
    let mut env = TestEnv::new("moving");
    let (file, more) = (example("applications.jsonl"), env.path("more.jsonl"));
    let applications: Vec<String> =
        (0..120).map(|number| application(&format!("MORE-{number}")).to_string()).collect();
    std::fs::write(&more, applications.join("\n")).unwrap();
    let worker = env.work(&[]);
    env.enqueue_from_python(&file);
    env.until_complete(&identities(&file), lines(&file).len());
    env.until_idle();
    assert!(env.drain(worker).is_empty());

    let server = S3Server::start(Kind::S3sFs);
    let url = server.url("book");
    let bucket = [
        ("DOCUMENTS__URL", url.as_str()),
        ("DOCUMENTS__ACCESS_KEY_ID", s3::KEY_ID),
        ("DOCUMENTS__SECRET_ACCESS_KEY", s3::SECRET),
    ];
    let folder = format!("file:{}", env.path("documents").display());
    let both: Vec<(&str, &str)> =
        bucket.into_iter().chain([("DOCUMENTS__PREVIOUS_URL", folder.as_str())]).collect();
    let hosho = |env: &TestEnv, settings: &[(&str, &str)], arguments: &[&str]| {
        let mut command = env.hosho(arguments);
        command.envs(settings.iter().map(|(key, value)| (format!("HOSHO__{key}"), value)));
        command
    };
    let worker = env.work(&both);
    env.enqueue_from_python(&more);
    let arguments = ["documents", "move", "--reason", "to the bucket", "--json"];
    let mut killed = spawn(hosho(&env, &both, &arguments), &env.path("killed.log"));
    eventually("the first object", LIMIT, || server.file("book/objects").exists().then_some(()));
    killed.kill9();
    let mut again = spawn(hosho(&env, &both, &arguments), &env.path("again.log"));
    assert!(again.wait(Duration::from_mins(2)).success(), "{}", again.output());
    let mut statuses = env.until_complete(&identities(&more), applications.len());
    env.until_idle();
    assert!(env.drain(worker).is_empty());

    // The bucket alone has every document.
    std::fs::remove_dir_all(env.path("documents")).unwrap();
    statuses.extend(env.statuses(&identities(&file)));
    let documents: Vec<Document> = statuses
        .into_iter()
        .flat_map(|status| status.guarantees)
        .flat_map(|guarantee| guarantee.revisions)
        .flat_map(|revision| revision.documents)
        .collect();
    assert!(documents.iter().all(|document| document.segment.starts_with("objects/")));
    let output = run(hosho(&env, &bucket, &["documents", "verify", "--all", "--json"]));
    let report: Value = serde_json::from_slice(&output.stdout)
        .unwrap_or_else(|error| panic!("{error}: {}", String::from_utf8_lossy(&output.stderr)));
    assert_eq!(report["counts"], serde_json::json!({ "same": documents.len() }), "{report}");
}
