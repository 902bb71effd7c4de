//! A message type, as the contract describes it.

use schemars::generate::SchemaSettings;
use schemars::{JsonSchema, SchemaGenerator};
use serde_json::Value;

use super::{FieldError, Message, StageMessage, decode, decode_errors};

/// Direct exchange that work is published to; the routing key is the stage.
pub const WORK_EXCHANGE: &str = "hosho.work";

/// Topic exchange of results; the routing key is the type without its version.
pub const EVENTS_EXCHANGE: &str = "hosho.events";

/// Where a message travels.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Route {
    /// From upstream systems to a stage.
    Inbound { stage: &'static str },
    /// From one stage to the next: not for other systems.
    Internal { stage: &'static str },
    /// From hosho to any subscriber.
    Event,
}

#[derive(Debug, Clone, Copy)]
pub struct MessageType {
    /// Wire name, such as `application.v1`.
    pub name: &'static str,
    pub title: &'static str,
    pub route: Route,
    pub(super) schema: fn(&mut SchemaGenerator) -> schemars::Schema,
    root_schema: fn(SchemaGenerator) -> schemars::Schema,
    check: fn(&[u8]) -> Vec<FieldError>,
}

impl MessageType {
    pub(super) const fn inbound<M: Message + JsonSchema>(title: &'static str, stage: &'static str) -> Self {
        Self::new::<M>(title, Route::Inbound { stage })
    }

    pub(super) const fn internal<M: StageMessage + JsonSchema>(title: &'static str) -> Self {
        Self::new::<M>(title, Route::Internal { stage: M::STAGE })
    }

    pub(super) const fn event<M: Message + JsonSchema>(title: &'static str) -> Self {
        Self::new::<M>(title, Route::Event)
    }

    const fn new<M: Message + JsonSchema>(title: &'static str, route: Route) -> Self {
        Self {
            name: M::TYPE,
            title,
            route,
            schema: SchemaGenerator::subschema_for::<M>,
            root_schema: SchemaGenerator::into_root_schema_for::<M>,
            check: check::<M>,
        }
    }

    /// Every reason why a payload is not of this type; empty when it is.
    pub fn decode_errors(&self, payload: &[u8]) -> Vec<FieldError> {
        (self.check)(payload)
    }

    pub fn exchange(&self) -> &'static str {
        match self.route {
            Route::Inbound { .. } | Route::Internal { .. } => WORK_EXCHANGE,
            Route::Event => EVENTS_EXCHANGE,
        }
    }

    pub fn routing_key(&self) -> &'static str {
        match self.route {
            Route::Inbound { stage } | Route::Internal { stage } => stage,
            Route::Event => without_version(self.name),
        }
    }

    /// JSON Schema (draft 2020-12) of the payload.
    pub fn json_schema(&self) -> Value {
        let mut schema = (self.root_schema)(SchemaSettings::draft2020_12().into_generator()).to_value();
        if let Some(schema) = schema.as_object_mut() {
            schema.insert("$id".to_owned(), format!("urn:hosho:{}", self.name).into());
            schema.insert("title".to_owned(), self.name.into());
        }
        schema
    }
}

fn check<M: Message + JsonSchema>(payload: &[u8]) -> Vec<FieldError> {
    decode::<M>(payload).err().map(|error| decode_errors::<M>(payload, &error)).unwrap_or_default()
}

/// `guarantee.issued.v1` is published under `guarantee.issued`.
pub fn without_version(name: &str) -> &str {
    let is_number = |text: &str| !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    name.rsplit_once(".v").filter(|(_, version)| is_number(version)).map_or(name, |(bare, _)| bare)
}
