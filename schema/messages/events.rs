//! What upstream systems hear back, on the topic exchange. The routing key is the type without its version.

use chrono::NaiveDateTime;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{MediumV1, Message, ProductV1};

/// One broken rule, for people of both languages and for programs.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct ViolationV1 {
    /// Stable code of the rule, such as `obligee.not_yet_electronic`. Never reused.
    pub code: String,
    /// JSON path of the value, such as `$.products[0].amount`.
    pub path: String,
    /// For the contractor or official: what is wrong, why, and what would be right (Japanese).
    pub message_ja: String,
    /// The same for operators (English).
    pub message_en: String,
}

/// The application keeps every rule; one guarantee per product line follows.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct ApplicationAcceptedV1 {
    /// `source` of the application.
    pub source: String,
    /// The upstream's own id.
    pub id: String,
    /// Our identifier of the application (UUID).
    pub application: String,
    /// The accepted product lines, in order.
    pub products: Vec<ProductV1>,
}

impl Message for ApplicationAcceptedV1 {
    const TYPE: &'static str = "application.accepted.v1";
}

/// A product line of a rejected application.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct RejectedLineV1 {
    /// The product asked for.
    pub product: ProductV1,
    /// The medium asked for.
    pub medium: MediumV1,
}

/// The application breaks one or more rules; nothing is issued.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct ApplicationRejectedV1 {
    /// `source` of the application.
    pub source: String,
    /// The upstream's own id.
    pub id: String,
    /// The product lines, where the message could be read that far.
    #[serde(default)]
    pub products: Vec<RejectedLineV1>,
    /// Every broken rule, in the order of the form.
    pub violations: Vec<ViolationV1>,
}

impl Message for ApplicationRejectedV1 {
    const TYPE: &'static str = "application.rejected.v1";
}

/// How the mail stands when the guarantee is complete.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum MailStateV1 {
    /// 希望しない, or a paper certificate: no mail is due.
    NotWanted,
    /// The mail server took it.
    Accepted,
    /// The mail server refused it for good; the certificate is issued all the same.
    Refused,
    /// The connection broke after the final dot: it may or may not have been taken.
    Unknown,
}

/// A guarantee is issued: its certificate is in the registry and its documents are stored.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct GuaranteeIssuedV1 {
    /// `source` of the application.
    pub source: String,
    /// The upstream's own id.
    pub id: String,
    /// Index of the product line within the application, from 0.
    pub line: i64,
    /// The product.
    pub product: ProductV1,
    /// The medium.
    pub medium: MediumV1,
    /// 保証契約番号.
    pub number: String,
    /// Revision of the certificate: 0 is 新規.
    pub revision: i64,
    /// When the certificate arrived in the registry (UTC).
    pub arrived_at: NaiveDateTime,
    /// SHA-256 of the certificate PDF, lower-case hexadecimal.
    pub certificate_sha256: String,
    /// How the mail stands.
    pub mail: MailStateV1,
}

impl Message for GuaranteeIssuedV1 {
    const TYPE: &'static str = "guarantee.issued.v1";
}
