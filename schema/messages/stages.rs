//! The messages between stages: identifiers only.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{StageMessage, message_type::MessageType};

/// Work for the issue stage: the guarantee of one accepted product line.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct IssueV1 {
    /// Our identifier of the application (UUID).
    pub application: String,
    /// Index of the product line within the application, from 0.
    pub line: i64,
}

impl StageMessage for IssueV1 {
    const STAGE: &'static str = "issue";

    fn key(&self) -> String {
        format!("{}:{}", self.application, self.line)
    }
}

macro_rules! revision_message {
    ($(#[$doc:meta])* $name:ident, $wire:literal, $stage:literal) => {
        $(#[$doc])*
        #[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
        pub struct $name {
            /// Our identifier of the guarantee (UUID).
            pub guarantee: String,
            /// Revision of the certificate: its place in the chain, 0 is 新規.
            pub revision: i64,
        }

        messages! { $name = $wire; }

        impl StageMessage for $name {
            const STAGE: &'static str = $stage;

            fn key(&self) -> String {
                format!("{}:{}", self.guarantee, self.revision)
            }
        }
    };
}

revision_message! {
    /// Work for the mint stage: the authentication key of a guarantee.
    MintV1, "mint.v1", "mint"
}
/// Work for the render stage: the documents of one revision.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct RenderV1 {
    /// Our identifier of the guarantee (UUID).
    pub guarantee: String,
    /// Revision of the certificate: its place in the chain, 0 is 新規.
    pub revision: i64,
    /// The run that draws existing documents again.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub run: Option<String>,
}

impl StageMessage for RenderV1 {
    const STAGE: &'static str = "render";

    fn key(&self) -> String {
        let run = self.run.as_ref().map(|run| format!(":{run}")).unwrap_or_default();
        format!("{}:{}{run}", self.guarantee, self.revision)
    }
}

/// Work for the reissue stage: the pending changes of a guarantee.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct ReissueV1 {
    /// Our identifier of the guarantee (UUID).
    pub guarantee: String,
    /// The run it is part of; none for an urgent change.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub run: Option<String>,
    /// Whether the documents are drawn again where no change is pending.
    #[serde(default, skip_serializing_if = "is_false")]
    pub redraw: bool,
}

impl StageMessage for ReissueV1 {
    const STAGE: &'static str = "reissue";

    /// Of a run. An urgent change gives its own id as the key.
    fn key(&self) -> String {
        format!("{}:{}", self.run.as_deref().unwrap_or_default(), self.guarantee)
    }
}

messages! {
    IssueV1 = "issue.v1";
    RenderV1 = "render.v1";
    ReissueV1 = "reissue.v1";
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde passes a reference")]
fn is_false(value: &bool) -> bool {
    !value
}

revision_message! {
    /// Work for the dispatch stage: the mail and the result event of one revision.
    DispatchV1, "dispatch.v1", "dispatch"
}

/// These messages in the contract.
pub(super) const CONTRACT: &[MessageType] = &[
    MessageType::internal::<IssueV1>("Issue the guarantee of one product line"),
    MessageType::internal::<MintV1>("Mint the authentication key of a guarantee"),
    MessageType::internal::<RenderV1>("Render the documents of one revision"),
    MessageType::internal::<DispatchV1>("Dispatch the mail and the result of one revision"),
    MessageType::internal::<ReissueV1>("Apply the pending changes of a guarantee"),
];
