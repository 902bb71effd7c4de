//! Runs that operators end early.

use serde_json::Value;

use crate::harness::{
    evidence::lines,
    house::{LIMIT, TestEnv, example, identities},
    process::eventually,
};

/// What the run has published fails after its end: the authentication keys cannot be opened.
#[test]
fn dead_letters_of_a_cancelled_run_belong_to_it() {
    let mut house = TestEnv::new("cancelled");
    let file = example("applications.jsonl");
    house.enqueue_from_python(&file);
    let worker = house.work(&[]);
    house.until_complete(&identities(&file), lines(&file).len());
    house.until_idle();
    house.drain(worker);

    let worker = house.work_on(&["reissue"], &[]);
    let run = house.succeed(&["reissue", "--all", "--reason", "a trial", "--detach", "--json"]);
    let run: String = serde_json::from_str(&run).unwrap();
    eventually("everything waits for render", LIMIT, || {
        (house.depths()["stage.render.bulk"] == 16).then_some(())
    });
    house.succeed(&["batch", "cancel", &run, "--reason", "a wrong one"]);
    house.drain(worker);
    let shown = |house: &TestEnv| {
        serde_json::from_str::<Value>(&house.succeed(&["batch", "show", &run, "--json"])).unwrap()
    };
    let counts = |shown: &Value| ["queued", "redrawn", "failed"].map(|field| shown[field].as_i64().unwrap());
    let before = shown(&house);
    assert_eq!((before["state"].as_str(), counts(&before)), (Some("cancelled"), [16, 0, 0]), "{before}");

    let keys = hosho::keys::KeyRing::generate().unwrap();
    std::fs::write(house.path("hosho.keys"), keys.as_bytes()).unwrap();
    let worker = house.work(&[]);
    eventually("dead letters", LIMIT, || (house.rows("failed_message") == 12).then_some(()));
    house.until_idle();
    house.drain(worker);
    // As the first thing that a worker does, and then every minute.
    let worker = house.work(&[]);
    eventually("dead letters of the run", LIMIT, || {
        let shown = shown(&house);
        (counts(&shown) == [0, 4, 12]).then_some(())
    });
    house.drain(worker);
    let failed = house.succeed(&["failed", "list", "--run", &run, "--json"]);
    let failed: Value = serde_json::from_str(&failed).unwrap();
    let failed = failed["items"].as_array().unwrap();
    assert_eq!(failed.iter().filter(|one| one["code"] == "key.unusable").count(), 12, "{failed:?}");
    assert_eq!(shown(&house)["state"], "cancelled");
}
