//! Result events; the routing key is the type without its version.

use chrono::{DateTime, Utc};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{ChangeKindV1, MediumV1, ProductV1, message_type::MessageType};
use crate::money::{Ratio, Yen};

/// One broken rule, in both languages and for programs.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct ViolationV1 {
    /// Stable code of the rule, such as `obligee.not_yet_electronic`. Never reused.
    pub code: String,
    /// JSON path of the value, such as `$.products[0].amount`.
    pub path: String,
    /// For the contractor or official (Japanese).
    /// The error, its reason and the correct value.
    pub message_ja: String,
    /// The same for operators (English).
    pub message_en: String,
}

/// The base of an amount.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum BaseV1 {
    /// 請負金額.
    ContractPrice,
    /// 今年度対象額.
    ThisYearBase,
}

/// Which side of its limit an amount must keep to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum BoundV1 {
    /// The limit is the most.
    AtMost,
    /// The limit is the least.
    AtLeast,
}

/// How one rule judged one amount, kept or broken.
/// Every number needed to repeat the calculation is here.
///
/// Where the rule has a ratio, `limit` is `base × ratio`, rounded down to whole `rounding_unit`s (at most) or
/// up to a whole yen (at least).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct CalculationV1 {
    /// Code of the rule, such as `amount.exceeds_cap`.
    /// A broken rule is among the violations too.
    pub code: String,
    /// JSON path of the amount, such as `$.products[0].amount`.
    pub path: String,
    /// Whether the rule is kept.
    pub kept: bool,
    /// The judged amount. For a total: the existing guarantees and the requested one.
    pub amount: Yen,
    /// Whether `limit` is the most or the least.
    pub bound: BoundV1,
    /// The limit itself.
    pub limit: Yen,
    /// Kind of the base.
    pub base: BaseV1,
    /// The base.
    pub base_amount: Yen,
    /// `amount` ÷ `base_amount` as the form shows it.
    /// A percentage with one decimal, such as `"40.0"`.
    pub percentage: String,
    /// The ratio of the rule.
    /// Absent where the limit is an absolute amount of the obligee.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ratio: Option<Ratio>,
    /// The unit that the limit is rounded down to; absent where it is not rounded.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rounding_unit: Option<Yen>,
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
    /// The judgement of each amount.
    #[serde(default)]
    pub calculations: Vec<CalculationV1>,
}

/// A product line of a rejected application.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct RejectedLineV1 {
    /// The requested product.
    pub product: ProductV1,
    /// The requested medium.
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
    /// The judgement of each amount that could be judged.
    #[serde(default)]
    pub calculations: Vec<CalculationV1>,
}

/// State of the mail when the guarantee is complete.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum MailStateV1 {
    /// 希望しない, or a paper certificate: no mail is due.
    NotWanted,
    /// The mail server accepted it.
    Accepted,
    /// The mail server rejected it permanently; the certificate is issued all the same.
    Refused,
    /// The connection broke after the final dot.
    /// The mail server may or may not have accepted it.
    Unknown,
}

/// The certificate is in the registry and the documents are stored.
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
    pub arrived_at: DateTime<Utc>,
    /// SHA-256 of the certificate PDF, lower-case hexadecimal.
    pub certificate_sha256: String,
    /// State of the mail.
    pub mail: MailStateV1,
}

/// Effect of a change.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum ChangeEffectV1 {
    /// A new certificate with the whole content after the change.
    Reissue,
    /// Only the contract price changes, not the content of the guarantee.
    NoReissue,
    /// The certificate before the amendment is valid again.
    Reversal,
    /// The guarantee ends.
    Cancellation,
}

/// The expected effect of a change, as of its arrival.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct ForeseenV1 {
    /// The effect.
    pub effect: ChangeEffectV1,
    /// The 変更 number of the certificate that is created or reversed (0 is 新規).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub revision: Option<i64>,
}

/// A change keeps every rule.
/// It takes effect with the nightly batch, or at once when it is urgent.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct ChangeAcceptedV1 {
    /// `source` of the change.
    pub source: String,
    /// The upstream's own id of the change.
    pub id: String,
    /// Our identifier of the change (UUID).
    pub change: String,
    /// Kind of the change.
    pub kind: ChangeKindV1,
    /// 保証契約番号.
    pub guarantee: String,
    /// Its version.
    pub version: i64,
    /// Whether it takes effect at once.
    pub urgent: bool,
    /// The expected effect.
    pub foreseen: ForeseenV1,
    /// The judgement of each amount.
    #[serde(default)]
    pub calculations: Vec<CalculationV1>,
}

/// A change breaks one or more rules and has no effect.
/// Also published for an accepted change that cannot take effect, because a change with a smaller version
/// arrived after it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct ChangeRejectedV1 {
    /// `source` of the change.
    pub source: String,
    /// The upstream's own id of the change.
    pub id: String,
    /// Kind of the change.
    pub kind: ChangeKindV1,
    /// 保証契約番号, where it could be read.
    #[serde(default)]
    pub guarantee: Option<String>,
    /// Every broken rule.
    pub violations: Vec<ViolationV1>,
    /// The judgement of each amount that could be judged.
    #[serde(default)]
    pub calculations: Vec<CalculationV1>,
}

/// A change took effect.
/// Its certificate or cancellation letter is in the registry, or an earlier certificate is valid again.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct GuaranteeChangedV1 {
    /// `source` of the change.
    pub source: String,
    /// The upstream's own id of the change.
    pub id: String,
    /// Kind of the change.
    pub kind: ChangeKindV1,
    /// 保証契約番号.
    pub number: String,
    /// The version of the change.
    pub version: i64,
    /// The 変更 number of the certificate created, replaced or reversed (0 is 新規).
    /// For a cancellation, that of the certificate that was valid.
    pub revision: i64,
    /// When it arrived in the registry (UTC).
    pub arrived_at: DateTime<Utc>,
    /// SHA-256 of the certificate PDF or cancellation letter, lower-case hexadecimal.
    /// Absent for a reversal.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub document_sha256: Option<String>,
    /// 解約日 `YYYY-MM-DD` of a cancellation.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ended_on: Option<String>,
    /// State of the mail.
    pub mail: MailStateV1,
}

/// The documents of a revision were drawn again with new templates or fonts.
/// Their content is the same.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct GuaranteeRedrawnV1 {
    /// 保証契約番号.
    pub number: String,
    /// The 変更 number of the certificate: 0 is 新規.
    pub revision: i64,
    /// SHA-256 of the certificate PDF, lower-case hexadecimal.
    pub certificate_sha256: String,
}

messages! {
    ApplicationAcceptedV1 = "application.accepted.v1";
    ApplicationRejectedV1 = "application.rejected.v1";
    GuaranteeIssuedV1 = "guarantee.issued.v1";
    ChangeAcceptedV1 = "change.accepted.v1";
    ChangeRejectedV1 = "change.rejected.v1";
    GuaranteeChangedV1 = "guarantee.changed.v1";
    GuaranteeRedrawnV1 = "guarantee.redrawn.v1";
}

/// These messages in the contract.
pub(super) const CONTRACT: &[MessageType] = &[
    MessageType::event::<ApplicationAcceptedV1>("An application was accepted"),
    MessageType::event::<ApplicationRejectedV1>("An application was rejected, with every broken rule"),
    MessageType::event::<GuaranteeIssuedV1>("A guarantee was issued and its certificate is in the registry"),
    MessageType::event::<ChangeAcceptedV1>("A change of a guarantee was accepted"),
    MessageType::event::<ChangeRejectedV1>("A change of a guarantee was rejected, with every broken rule"),
    MessageType::event::<GuaranteeChangedV1>("A change of a guarantee took effect"),
    MessageType::event::<GuaranteeRedrawnV1>("Documents were drawn again, with the same content"),
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn writes_times_in_utc() {
        let event = serde_json::json!({
            "source": "portal", "id": "1", "line": 0, "product": "performance", "medium": "paper",
            "number": "31075-00001M", "revision": 0, "arrived_at": "2026-11-30T14:18:58.290472+09:00",
            "certificate_sha256": "ab", "mail": "not_wanted",
        });
        let event: GuaranteeIssuedV1 = serde_json::from_value(event).unwrap();
        assert_eq!(serde_json::to_value(&event).unwrap()["arrived_at"], "2026-11-30T05:18:58.290472Z");
        assert_eq!(
            serde_json::to_value(schemars::schema_for!(DateTime<Utc>)).unwrap()["format"],
            "date-time"
        );
    }
}
