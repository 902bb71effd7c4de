//! RabbitMQ: version, queues, alarms, consumers, clock.

use super::{Finding, skew};
use crate::{
    app::{self, BrokerClient},
    broker::{
        Depth,
        rabbit::{
            Rabbit,
            diagnostics::{Diagnostics, diagnose},
        },
    },
    clock::Clock,
    config::Config,
    fault::chain,
    operations::{BROKER_DENIED, counted},
    stages::NAMES,
};

/// More ready messages in one queue of a stage are reported.
const DEEP: u64 = 10_000;

pub(super) async fn check(config: &Config, has_database: bool) -> Vec<Finding> {
    let rabbit = match app::broker_client(config, NAMES) {
        Ok(BrokerClient::Rabbit(rabbit)) => rabbit,
        Ok(BrokerClient::Memory(_)) => {
            return vec![Finding::ok("broker", "in process: it is empty between two runs")];
        }
        Err(error) => return vec![Finding::failure("broker", chain(&error), "correct broker.url")],
    };
    let findings = check_rabbit(&rabbit, config, has_database).await;
    crate::broker::Broker::close(&rabbit).await;
    findings
}

async fn check_rabbit(rabbit: &Rabbit, config: &Config, has_database: bool) -> Vec<Finding> {
    let here = Clock::system().now();
    let server = match diagnose(rabbit).await {
        Ok(server) => server,
        Err(error) => {
            let hint = if error.is_denied() {
                BROKER_DENIED
            } else {
                "start the broker, or correct broker.url: the workers reconnect automatically"
            };
            return vec![Finding::failure("broker", chain(&error), hint)];
        }
    };
    let mut findings = vec![version(&server), capabilities(&server), alarms(&server)];
    findings.extend(server.clock.map(|clock| skew("broker clock", clock, here, 1)));
    findings.push(topology(rabbit).await);
    match crate::broker::Broker::depths(rabbit).await {
        Ok(depths) => findings.extend(depths_of(&depths, &config.broker.prefix, has_database)),
        Err(error) => findings.push(Finding::failure("queues", chain(&error), "run `hosho topology apply`")),
    }
    findings
}

fn version(server: &Diagnostics) -> Finding {
    let version: Vec<u32> = server.version.split('.').map_while(|part| part.parse().ok()).collect();
    let named = format!("{} {}", server.product, server.version);
    if version.as_slice() < [3, 10].as_slice() {
        let hint = "install RabbitMQ 3.10 or newer: older ones dead-letter at most once";
        return Finding::failure("broker", named, hint);
    }
    Finding::ok("broker", named)
}

fn capabilities(server: &Diagnostics) -> Finding {
    let needed = ["publisher_confirms", "basic.nack", "consumer_cancel_notify", "connection.blocked"];
    let has = |needed: &&str| server.capabilities.iter().any(|name| name == needed);
    let lacking: Vec<&str> = needed.into_iter().filter(|needed| !has(needed)).collect();
    if lacking.is_empty() {
        return Finding::ok("capabilities", needed.join(", "));
    }
    let text = format!("it lacks {}", lacking.join(", "));
    Finding::failure("capabilities", text, "install RabbitMQ 3.10 or newer")
}

fn alarms(server: &Diagnostics) -> Finding {
    match server.confirmed_in {
        Some(time) => {
            Finding::ok("alarms", format!("none: a message was confirmed within {} ms", time.as_millis()))
        }
        None if server.is_blocked => Finding::failure(
            "alarms",
            "the broker takes no messages: it is short of memory or disk",
            "run `rabbitmq-diagnostics alarms` and free space; the workers then resume",
        ),
        None => Finding::failure(
            "alarms",
            "a message was not confirmed in time",
            "run `rabbitmq-diagnostics status`: it is overloaded, or a node is down",
        ),
    }
}

async fn topology(rabbit: &Rabbit) -> Finding {
    match crate::broker::rabbit::topology::check(rabbit).await {
        // AMQP does not list feature flags; queues with these arguments exist only where they are enabled.
        Ok(topology) if topology.is_good() => {
            let text = "as expected; the feature flags they need are therefore enabled";
            Finding::ok("queues", format!("{} {text}", topology.present))
        }
        Ok(topology) => {
            let missing = topology.missing.iter().map(|name| format!("{name} is missing"));
            let found: Vec<String> = missing.chain(topology.different).collect();
            Finding::failure(
                "queues",
                found.join("; "),
                "run `hosho topology apply` for missing queues; drain, delete and create those that differ",
            )
        }
        Err(error) => {
            Finding::failure("queues", chain(&error), "grant the user of broker.url access to the queues")
        }
    }
}

fn depths_of(depths: &[Depth], prefix: &str, has_database: bool) -> Vec<Finding> {
    let of = |name: String| depths.iter().find(|depth| depth.queue == format!("{prefix}{name}"));
    let consumers = |stage: &str| of(format!("stage.{stage}")).map(|depth| depth.consumers);
    let idle: Vec<&str> = NAMES.iter().copied().filter(|stage| consumers(stage) == Some(0)).collect();
    let consumers = if idle.is_empty() {
        let count = |stage: &&str| format!("{stage} {}", consumers(stage).unwrap_or(0));
        Finding::ok("consumers", NAMES.iter().map(count).collect::<Vec<_>>().join(", "))
    } else {
        let hint = "start `hosho work`, or run `hosho stages`: the stage may be paused";
        Finding::warning("consumers", format!("none for {}", idle.join(", ")), hint)
    };
    let deep: Vec<String> = depths
        .iter()
        .filter(|depth| depth.ready > DEEP)
        .map(|depth| format!("{} {}", depth.queue, depth.ready))
        .collect();
    let depth = if deep.is_empty() {
        let ready: u64 = depths.iter().map(|depth| depth.ready).sum();
        Finding::ok("depth", format!("{} ready in all queues", counted(ready, "message")))
    } else {
        Finding::warning("depth", deep.join(", "), "start more workers, or run `hosho stages` for the delay")
    };
    let dead = ["dead", "unrouted"].into_iter().filter_map(|name| of(name.to_owned()));
    let dead: u64 = dead.map(|depth| depth.ready).sum();
    let hint = if has_database {
        "start a worker: it records them"
    } else {
        "start the database, or correct database.url"
    };
    let dead = match dead {
        0 => Finding::ok("dead letters", "all recorded"),
        count => Finding::warning("dead letters", format!("{count} not recorded yet"), hint),
    };
    vec![consumers, depth, dead]
}

#[cfg(test)]
mod tests {
    use super::super::{Severity, tests::of};
    use super::*;

    fn depths(ready: &[(&str, u64)], consumers: u64) -> Vec<Depth> {
        let stages =
            NAMES.iter().map(|stage| Depth { queue: format!("t.stage.{stage}"), ready: 0, consumers });
        let named = ready.iter().map(|(name, ready)| Depth {
            queue: format!("t.{name}"),
            ready: *ready,
            consumers: 0,
        });
        stages.chain(named).collect()
    }

    #[test]
    fn returns_one_ok_for_each_healthy_subject() {
        let findings = depths_of(&depths(&[("dead", 0), ("unrouted", 0)], 2), "t.", true);
        for code in ["consumers", "depth", "dead letters"] {
            let found = of(&findings, code);
            assert!(matches!(found[..], [(Severity::Ok, _)]), "{code}: {found:?}");
        }
        assert!(of(&findings, "consumers")[0].1.contains("mint 2"));
    }

    #[test]
    fn warns_of_dead_letters_depth_and_missing_consumers() {
        let depths = depths(&[("dead", 2), ("unrouted", 1), ("stage.issue.bulk", DEEP + 1)], 0);
        let findings = depths_of(&depths, "t.", true);
        assert_eq!(of(&findings, "dead letters"), [(Severity::Warning, "3 not recorded yet")]);
        let hint = |findings: &[Finding]| {
            findings.iter().find(|finding| finding.code == "dead letters").unwrap().hint.clone().unwrap()
        };
        assert!(hint(&findings).contains("start a worker"));
        assert!(hint(&depths_of(&depths, "t.", false)).contains("database"));
        assert_eq!(of(&findings, "depth"), [(Severity::Warning, "t.stage.issue.bulk 10001")]);
        let consumers = of(&findings, "consumers");
        assert!(matches!(consumers[..], [(Severity::Warning, text)] if text.contains("validate")));
    }
}
