//! The messages between stages: identifiers only.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::Message;

/// Asks the issue stage for one guarantee: one product line of an accepted application.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct IssueV1 {
    /// Our identifier of the application (UUID).
    pub application: String,
    /// Index of the product line within the application, from 0.
    pub line: i64,
}

impl Message for IssueV1 {
    const TYPE: &'static str = "issue.v1";
}

macro_rules! revision_message {
    ($(#[$doc:meta])* $name:ident, $wire:literal) => {
        $(#[$doc])*
        #[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
        pub struct $name {
            /// Our identifier of the guarantee (UUID).
            pub guarantee: String,
            /// Revision of the certificate: 0 is 新規.
            pub revision: i64,
        }

        impl Message for $name {
            const TYPE: &'static str = $wire;
        }
    };
}

revision_message! {
    /// Asks the mint stage for the authentication key of a guarantee.
    MintV1, "mint.v1"
}
revision_message! {
    /// Asks the render stage for the documents of one revision.
    RenderV1, "render.v1"
}
revision_message! {
    /// Asks the dispatch stage for the mail and the result event of one revision.
    DispatchV1, "dispatch.v1"
}
