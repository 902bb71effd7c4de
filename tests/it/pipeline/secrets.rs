//! Secrets must not leak, and traces must be complete.

use hosho_schema::{ids, models::mail::State};
use serde_json::Value;

use crate::harness::{
    amqp::{properties, text},
    evidence::{application, lines},
    postgres,
    process::eventually,
    secrets::Needles,
    test_env::{LIMIT, TestEnv, example, identities},
};

/// Many steps fail, because error messages are the likeliest leak.
#[test]
fn leaks_no_secret() {
    let mut env = TestEnv::new("secrets");
    env.smtp.script(&[
        (
            "rcpt info@yoshizawa.example.com",
            "550 5.1.1 <info@yoshizawa.example.com>: 𠮷澤　渚 (info@yoshizawa.example.com) is unknown",
        ),
        (
            "rcpt soumu@tsugaru-sokuryo.example.jp",
            "1x 450 4.2.1 soumu@tsugaru-sokuryo.example.jp: the mailbox of soumu is busy",
        ),
        ("after_dot eigyo@kakuu-suido.example.jp", "1x close"),
    ]);
    let tap = env.tap();
    let worker = env.work(&[("WORK__RETRY_SECONDS", "1,1")]);
    let file = example("applications.jsonl");
    let lines = lines(&file);
    env.enqueue_from_python(&file);
    env.enqueue_from_python(&example("rejected.jsonl"));
    let refused =
        lines.iter().filter(|line| line.mail.as_deref() == Some("info@yoshizawa.example.com")).count();
    let statuses = env.until_complete(&identities(&file), lines.len());
    tap.until_events("application.rejected", identities(&example("rejected.jsonl")).len());
    eventually("dead letters", LIMIT, || (tap.dead().len() == refused).then_some(()));
    assert_eq!(env.settle_and_drain(&tap, worker, 0), u64::try_from(refused).unwrap());
    let states = [State::Accepted, State::Unknown, State::Rejected].map(|state| env.mails(&statuses, state));
    assert_eq!(
        states.iter().sum::<usize>(),
        lines.iter().filter(|line| line.mail.is_some()).count(),
        "{states:?}"
    );

    let keys = Needles::new(env.keys(&statuses).into_values());
    let (addresses, names) = (Needles::mail_addresses(&file), Needles::names(&file));
    assert_eq!(keys.len(), lines.iter().filter(|line| line.medium == "electronic").count());
    // The search finds the texts in the database dump, where they belong.
    let dump = postgres::dump(&env.database);
    assert_eq!((addresses.found_in(&dump).len(), names.found_in(&dump).is_empty()), (addresses.len(), false));
    env.assert_discreet(&tap, &keys, &addresses, &names);

    // Commands do not print them.
    for (_, id) in identities(&file) {
        for arguments in [vec!["status", &id], vec!["status", &id, "--json"]] {
            let output = env.succeed(&arguments);
            for needles in [&keys, &addresses, &names] {
                needles.assert_absent("hosho status", &output);
            }
        }
    }
    let ring = std::fs::read_to_string(env.path("hosho.keys")).unwrap();
    let secrets: Vec<String> =
        ring.split_whitespace().filter(|word| word.len() == 64).map(str::to_owned).collect();
    assert_eq!(secrets.len(), 2);
    Needles::new(secrets)
        .assert_absent("log or configuration", &(env.logs() + &env.succeed(&["config", "show"])));
}

#[test]
fn propagates_trace_from_upstream_to_mail() {
    const TRACE: &str = "4bf92f3577b34da6a3ce929d0e0e4736";
    const BULK: &str = "UNTRACED";
    let mut env = TestEnv::new("trace");
    let tap = env.tap();
    let worker = env.work(&[]);
    let client = env.client();
    let work = format!("{}work", env.prefix);
    let upstream = format!("00-{TRACE}-00f067aa0ba902b7-01");
    let cases = [
        ("TRACED", Some(upstream.as_str())),
        ("UNTRACED", None),
        ("MALFORMED", Some("00-4bf92f3577b34da6a3ce929d0e0e4736-xyz")),
    ];
    for (id, header) in cases {
        let headers: Vec<_> = header.iter().map(|header| ("traceparent", text(header))).collect();
        // Bulk messages remain in the bulk lane.
        let queue = if id == BULK { "validate.bulk" } else { "validate" };
        client.publish(&work, queue, application(id).to_string().as_bytes(), properties(id, &headers));
    }
    let mut bad = application("REJECTED");
    bad["obligee"] = "atlantis".into();
    client.publish(
        &work,
        "validate",
        bad.to_string().as_bytes(),
        properties("REJECTED", &[("traceparent", text(&upstream))]),
    );
    tap.until_events("guarantee.issued", cases.len());
    tap.until_events("application.rejected", 1);
    assert_eq!(env.settle_and_drain(&tap, worker, 0), 0);

    let mut traces = Vec::new();
    for (id, _) in cases {
        let ours = ids::application("portal", id);
        let messages: Vec<_> =
            tap.messages().into_iter().filter(|message| message.correlation_id() == ours).collect();
        let mut places: Vec<String> = messages.iter().map(|message| message.routing_key.clone()).collect();
        places.sort();
        let lane = if id == BULK { ".bulk" } else { "" };
        let work = ["issue", "mint", "render", "dispatch"].map(|stage| format!("{stage}{lane}"));
        let mut expected: Vec<String> = work
            .into_iter()
            .chain(["application.accepted".to_owned(), "guarantee.issued".to_owned()])
            .collect();
        expected.sort();
        assert_eq!(places, expected, "{id}");
        let mut spans = Vec::new();
        for message in &messages {
            let header = message
                .header("traceparent")
                .unwrap_or_else(|| panic!("{id}: {} has no trace", message.routing_key));
            let parts: Vec<&str> = header.split('-').collect();
            assert_eq!((parts.len(), parts[0], parts[3]), (4, "00", "01"), "{header}");
            traces.push((id, parts[1].to_owned()));
            spans.push(parts[2].to_owned());
        }
        spans.sort();
        spans.dedup();
        assert_eq!(spans.len(), messages.len(), "{id}: each message has its own span");

        let number = env.status_of(id).guarantees[0].guarantee.number.clone();
        let sent: Vec<Value> = env
            .until_logged("Mail accepted", cases.len())
            .into_iter()
            .filter(|line| line["guarantee.number"] == number.as_str())
            .collect();
        assert_eq!(sent.len(), 1, "{id}");
        traces.push((id, sent[0]["trace.id"].as_str().unwrap().to_owned()));
    }
    traces.dedup();
    let [(_, given), (_, derived), (_, own)] = traces.as_slice() else { panic!("{traces:?}") };
    assert_eq!(given, TRACE);
    assert!(derived != TRACE && own != TRACE && derived != own, "{traces:?}");
    let traceparent = tap.events("application.rejected").remove(0).header("traceparent").unwrap();
    assert!(traceparent.contains(TRACE), "{traceparent}");
}
