//! Cancelled runs.

use serde_json::Value;

use crate::harness::{
    evidence::lines,
    process::eventually,
    test_env::{LIMIT, TestEnv, example, identities},
};

/// Messages of the run fail after its end, because no key can be opened.
#[test]
fn cancelled_run_counts_its_late_dead_letters() {
    let mut env = TestEnv::new("cancelled");
    let file = example("applications.jsonl");
    env.enqueue_from_python(&file);
    let worker = env.work(&[]);
    env.until_complete(&identities(&file), lines(&file).len());
    env.until_idle();
    env.drain(worker);

    let worker = env.work_on(&["reissue"], &[]);
    let run = env.succeed(&["reissue", "--all", "--reason", "test", "--detach", "--json"]);
    let run: Value = serde_json::from_str(&run).unwrap();
    let run = run["run"].as_str().unwrap();
    eventually("all messages are queued for render", LIMIT, || {
        (env.depths()["stage.render.bulk"] == 16).then_some(())
    });
    env.succeed(&["batch", "cancel", run, "--reason", "wrong run"]);
    env.drain(worker);
    let shown = |env: &TestEnv| {
        serde_json::from_str::<Value>(&env.succeed(&["batch", "show", run, "--json"])).unwrap()
    };
    let counts = |shown: &Value| ["queued", "redrawn", "failed"].map(|field| shown[field].as_i64().unwrap());
    let before = shown(&env);
    assert_eq!((before["state"].as_str(), counts(&before)), (Some("cancelled"), [16, 0, 0]), "{before}");

    let keys = hosho::keys::KeyRing::generate().unwrap();
    std::fs::write(env.path("hosho.keys"), keys.as_bytes()).unwrap();
    let worker = env.work(&[]);
    eventually("dead letters", LIMIT, || (env.rows("failed_message") == 12).then_some(()));
    env.until_idle();
    env.drain(worker);
    // A worker updates the run when it starts, and then every minute.
    let worker = env.work(&[]);
    eventually("dead letters of the run", LIMIT, || {
        let shown = shown(&env);
        (counts(&shown) == [0, 4, 12]).then_some(())
    });
    env.drain(worker);
    let failed = env.succeed(&["failed", "list", "--run", run, "--json"]);
    let failed: Value = serde_json::from_str(&failed).unwrap();
    let failed = failed["items"].as_array().unwrap();
    assert_eq!(failed.iter().filter(|one| one["code"] == "key.unusable").count(), 12, "{failed:?}");
    assert_eq!(shown(&env)["state"], "cancelled");
}
