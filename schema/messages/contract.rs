//! The one list of messages, and the documents generated from it.
//!
//! `generated/<type>.json` is the JSON Schema (draft 2020-12) of each payload, `generated/asyncapi.json` an
//! AsyncAPI 3 document with exchanges, routing keys and headers. They are made from the Rust types,
//! committed, and compared by a test: the types are the source, because an older message must decode with
//! them, and a schema written by hand would drift.
//!
//! AsyncAPI tools read JSON Schema draft 7 by default, and some read no other draft; so the AsyncAPI document
//! contains the schemas in draft 7. The two differ in form only.
//!
//! Exchange names are given with the default prefix `hosho.`.

use schemars::generate::SchemaSettings;
use serde_json::{Map, Value, json};

pub use super::message_type::{EVENTS_EXCHANGE, MessageType, Route, WORK_EXCHANGE, without_version};
use super::{application, change, events, stages};

/// The type of a message to `stage`, by `kind` where the stage takes several.
/// A `kind` is the type without the version; a body without a known `kind` counts as the first.
pub fn of_stage(stage: &str, payload: &[u8]) -> Option<&'static MessageType> {
    #[derive(serde::Deserialize)]
    struct Kind {
        kind: String,
    }
    let mut taken =
        messages().filter(|message| message.route != Route::Event && message.routing_key() == stage);
    let kind = serde_json::from_slice::<Kind>(payload).map(|body| body.kind).unwrap_or_default();
    let named = taken.clone().find(|message| without_version(message.name) == kind);
    named.or_else(|| taken.next())
}

/// Every message type.
pub fn messages() -> impl Iterator<Item = &'static MessageType> + Clone {
    [application::CONTRACT, stages::CONTRACT, change::CONTRACT, events::CONTRACT].into_iter().flatten()
}

/// Generates the committed documents: file name and text.
pub fn documents() -> Vec<(String, String)> {
    let schemas = messages().map(|message| (format!("{}.json", message.name), pretty(message.json_schema())));
    schemas.chain([("asyncapi.json".to_owned(), pretty(asyncapi()))]).collect()
}

/// Sorted: the order of a map depends on which crates are compiled along.
fn pretty(mut document: Value) -> String {
    document.sort_all_objects();
    format!("{document:#}\n")
}

/// The AsyncAPI 3.0.0 document.
pub fn asyncapi() -> Value {
    let settings = SchemaSettings::draft07().with(|settings| {
        settings.definitions_path = "/components/schemas".into();
        settings.meta_schema = None;
    });
    let mut generator = settings.into_generator();
    let (mut channels, mut operations, mut components) = (Map::new(), Map::new(), Map::new());
    for message in messages() {
        let payload = (message.schema)(&mut generator).to_value();
        components.insert(message.name.to_owned(), component(message, &payload));
        let address = |of: &MessageType| (of.exchange(), of.routing_key());
        let alike: Vec<_> = messages().filter(|other| address(other) == address(message)).collect();
        let kind = if message.route == Route::Event { "events" } else { "work" };
        let channel = format!("{kind}.{}", message.routing_key());
        operations.insert(message.routing_key().to_owned(), operation(&alike, &channel));
        channels.insert(channel, channel_of(&alike));
    }
    let schemas: Map<String, Value> = generator.take_definitions(true).into_iter().collect();
    json!({
        "asyncapi": "3.0.0",
        "info": {
            "title": "hosho",
            "version": env!("CARGO_PKG_VERSION"),
            "description": "Electronic surety (電子保証) for public works: applications come in, guarantees, certificates, notices and \
                mails go out. Upstream systems publish applications and listen to events; the other messages pass between the \
                stages and hold identifiers only.",
            "license": { "name": env!("CARGO_PKG_LICENSE") },
        },
        "defaultContentType": "application/json",
        "servers": {
            "rabbitmq": {
                "host": "localhost:5672",
                "protocol": "amqp",
                "protocolVersion": "0.9.1",
                "description": "RabbitMQ 3.10 or later; in production with TLS (amqps).",
            },
        },
        "channels": channels,
        "operations": operations,
        "components": { "messages": components, "schemas": schemas },
    })
}

/// The channel of messages with one address.
fn channel_of(alike: &[&MessageType]) -> Value {
    let message = alike[0];
    let reference = |name: &str| json!({ "$ref": format!("#/components/messages/{name}") });
    let messages: Map<String, Value> =
        alike.iter().map(|message| (message.name.to_owned(), reference(message.name))).collect();
    let exchange = message.exchange();
    let kind = if exchange == EVENTS_EXCHANGE { "topic" } else { "direct" };
    let description = match message.route {
        Route::Inbound { .. } => {
            "Publish persistent and mandatory, with publisher confirms, and count a message as delivered when its confirm \
             arrives. Publishing it again is harmless: `source` and `id` identify the message."
        }
        Route::Internal { .. } => "Between the stages. Not for other systems.",
        Route::Event => {
            "Bind a queue of your own. An event may come more than once; its `message_id` is then the same."
        }
    };
    json!({
        "address": message.routing_key(),
        "title": title(alike),
        "description": description,
        "messages": messages,
        "bindings": {
            "amqp": {
                "is": "routingKey",
                "exchange": { "name": exchange, "type": kind, "durable": true, "autoDelete": false, "vhost": "/" },
                "bindingVersion": "0.3.0",
            },
        },
    })
}

/// What hosho does with it: it receives work and sends events.
fn operation(alike: &[&MessageType], channel: &str) -> Value {
    let message = alike[0];
    let messages: Vec<Value> = alike
        .iter()
        .map(|message| json!({ "$ref": format!("#/channels/{channel}/messages/{}", message.name) }))
        .collect();
    let (action, tag, binding) = match message.route {
        Route::Inbound { .. } => ("receive", "upstream", json!({ "ack": true, "bindingVersion": "0.3.0" })),
        Route::Internal { .. } => ("receive", "internal", json!({ "ack": true, "bindingVersion": "0.3.0" })),
        Route::Event => ("send", "upstream", json!({ "deliveryMode": 2, "bindingVersion": "0.3.0" })),
    };
    json!({
        "action": action,
        "channel": { "$ref": format!("#/channels/{channel}") },
        "title": title(alike),
        "tags": [{ "name": tag }],
        "messages": messages,
        "bindings": { "amqp": binding },
    })
}

/// What the messages of one address are.
fn title(alike: &[&MessageType]) -> String {
    alike.iter().map(|message| message.title).collect::<Vec<_>>().join("; ")
}

fn component(message: &MessageType, payload: &Value) -> Value {
    json!({
        "name": message.name,
        "title": message.title,
        "summary": format!("AMQP properties: `type` is `{}`, `message_id` identifies the message permanently.", message.name),
        "contentType": "application/json",
        "headers": {
            "type": "object",
            "properties": {
                "traceparent": {
                    "type": "string",
                    "description": "W3C trace context; it is carried through every stage to the mail and the events.",
                    "pattern": "^[0-9a-f]{2}-[0-9a-f]{32}-[0-9a-f]{16}-[0-9a-f]{2}$",
                },
            },
        },
        "payload": payload,
        "bindings": { "amqp": { "messageType": message.name, "bindingVersion": "0.3.0" } },
    })
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;
    use std::path::{Path, PathBuf};

    use super::*;

    fn folder() -> PathBuf {
        Path::new(env!("CARGO_MANIFEST_DIR")).join("messages")
    }

    /// `HOSHO_BLESS=1` rewrites the committed documents instead.
    #[test]
    fn committed_documents_match_the_types() {
        let generated = folder().join("generated");
        let documents = documents();
        if std::env::var_os("HOSHO_BLESS").is_some() {
            for (name, text) in &documents {
                std::fs::write(generated.join(name), text).unwrap();
            }
        }
        for (name, text) in &documents {
            let committed = std::fs::read_to_string(generated.join(name)).unwrap_or_default();
            assert!(
                *text == committed,
                "{name} has drifted from the types: run `HOSHO_BLESS=1 cargo test -p hosho-schema` and review the change"
            );
        }
        let listed: BTreeSet<_> = documents.into_iter().map(|(name, _)| name).collect();
        let on_disk: BTreeSet<_> = std::fs::read_dir(generated)
            .unwrap()
            .map(|entry| entry.unwrap().file_name().into_string().unwrap())
            .collect();
        assert_eq!(listed, on_disk);
    }

    /// Wire names are in the sources next to their types.
    /// Every one is in the list, and none twice.
    #[test]
    fn lists_every_wire_name_of_the_sources() {
        let mut found = Vec::new();
        for entry in std::fs::read_dir(folder()).unwrap() {
            let path = entry.unwrap().path();
            if path.extension().is_none_or(|extension| extension != "rs") || path.ends_with("contract.rs") {
                continue;
            }
            let source = std::fs::read_to_string(path).unwrap();
            for line in source.lines().filter(|line| !line.trim_start().starts_with("//")) {
                found.extend(
                    line.split('"')
                        .skip(1)
                        .step_by(2)
                        .filter(|text| without_version(text) != *text)
                        .map(str::to_owned),
                );
            }
        }
        found.sort();
        let mut listed: Vec<_> = messages().map(|message| message.name.to_owned()).collect();
        listed.sort();
        assert_eq!(found, listed);
    }

    #[test]
    fn routes_are_distinct_and_drop_the_version() {
        let routes = |route: fn(&Route) -> bool| {
            let of: Vec<_> = messages().filter(|message| route(&message.route)).collect();
            let distinct: BTreeSet<_> =
                of.iter().map(|message| (message.exchange(), message.routing_key())).collect();
            (distinct.len(), of.len())
        };
        // Inbound messages of one stage differ by `kind`; all others by address.
        let (distinct, all) = routes(|route| !matches!(route, Route::Inbound { .. }));
        assert_eq!(distinct, all);
        for message in messages().filter(|message| message.route != Route::Event) {
            let body = json!({ "kind": without_version(message.name) }).to_string();
            assert_eq!(of_stage(message.routing_key(), body.as_bytes()).unwrap().name, message.name);
        }
        assert_eq!(without_version("guarantee.issued.v12"), "guarantee.issued");
        assert_eq!(without_version("guarantee.v"), "guarantee.v");
        assert_eq!(without_version("very.vivid"), "very.vivid");
    }

    /// Unknown fields are an error in an application.
    /// Other messages may gain fields.
    #[test]
    fn schemas_agree_with_decoding() {
        let schema = |name: &str| messages().find(|message| message.name == name).unwrap().json_schema();
        assert_eq!(schema("application.v1")["additionalProperties"], false);
        assert_eq!(schema("application.v1")["$schema"], "https://json-schema.org/draft/2020-12/schema");
        assert!(schema("issue.v1").get("additionalProperties").is_none());
        let required = schema("application.v1")["required"].clone();
        assert!(required.as_array().unwrap().iter().any(|field| field == "obligee"));
        assert!(!required.as_array().unwrap().iter().any(|field| field == "contact"));
    }

    /// Every `$ref` of the AsyncAPI document has a target.
    #[test]
    fn every_reference_resolves() {
        fn walk(value: &Value, document: &Value, seen: &mut usize) {
            match value {
                Value::Object(fields) => {
                    if let Some(Value::String(target)) = fields.get("$ref") {
                        assert!(
                            document.pointer(target.trim_start_matches('#')).is_some(),
                            "{target} leads nowhere"
                        );
                        *seen += 1;
                    }
                    fields.values().for_each(|value| walk(value, document, seen));
                }
                Value::Array(values) => values.iter().for_each(|value| walk(value, document, seen)),
                _ => {}
            }
        }
        let (document, mut seen) = (asyncapi(), 0);
        walk(&document, &document, &mut seen);
        assert!(seen > 2 * messages().count());
    }
}
