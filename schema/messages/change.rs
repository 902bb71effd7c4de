//! Messages about a changed contract.
//! `amendment.v1`, `correction.v1`, `amendment_reversal.v1` and `cancellation.v1`.
//!
//! All four use one queue, so that the broker keeps the order in which they were sent; `kind` distinguishes
//! the bodies. Each is about one guarantee, by its 保証契約番号. `version` orders the changes of a guarantee,
//! in whatever order they arrive.
//!
//! Decoding checks structure and presence. The amend stage checks everything else and reports all violations
//! at once.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{Amount, MediumV1, PrincipalV1, WorksV1, message_type::MessageType};
use crate::personal::prints_its_name_only;

/// Which change it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum ChangeKindV1 {
    /// 変更.
    Amendment,
    /// 訂正.
    Correction,
    /// 変更取消.
    AmendmentReversal,
    /// 解約.
    Cancellation,
}

/// The product after a change.
/// The other fields of the application stay as they were.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ChangedProductV1 {
    /// 証書の形式; that of the guarantee, which never changes.
    pub medium: MediumV1,
    /// 保証金額 in yen.
    pub amount: Amount,
    /// 今年度対象額 in yen.
    #[serde(default)]
    pub this_year_base: Option<Amount>,
    /// 預託金融機関; required for 前払金 and 中間前払金.
    #[serde(default)]
    pub bank: Option<String>,
    /// 再預託利用区分; required for 前払金 and 中間前払金.
    #[serde(default)]
    pub redeposit: Option<bool>,
}

/// The whole content after a change, not only the differences (変更後の内容).
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ContentV1 {
    /// 工事・業務委託.
    pub works: WorksV1,
    /// 請負契約者.
    pub principal: PrincipalV1,
    /// The product of the guarantee.
    pub product: ChangedProductV1,
}

/// Why a guarantee is cancelled.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum CancellationCauseV1 {
    /// The obligee consents; evidence is required.
    Consent,
    /// The works contract ended for causes on the obligee's side.
    ObligeeCause,
}

/// A message about a change: the fields of all of them, then its own.
macro_rules! change {
    (
        $(#[$doc:meta])*
        $name:ident {
            $(#[$kind_doc:meta])*
            kind: $(#[$enum_doc:meta])* $kind:ident = $variant:ident,
            $($fields:tt)*
        }
    ) => {
        $(#[$enum_doc])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
        #[serde(rename_all = "snake_case")]
        pub enum $kind {
            /// The only one.
            $variant,
        }

        impl From<$kind> for ChangeKindV1 {
            fn from(_: $kind) -> Self {
                Self::$variant
            }
        }

        $(#[$doc])*
        #[derive(Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
        #[serde(deny_unknown_fields)]
        pub struct $name {
            $(#[$kind_doc])*
            pub kind: $kind,
            /// Name of the upstream system. With `id` it is the idempotency key.
            pub source: String,
            /// The upstream's own id of the change, unique within `source`.
            pub id: String,
            /// 保証契約番号.
            pub guarantee: String,
            #[schemars(
                description = "Orders the changes of one guarantee: from 1, larger with each change that is sent; gaps are harmless."
            )]
            pub version: i64,
            /// Whether it takes effect at once, with all changes pending before it.
            /// Otherwise it takes effect with the nightly batch.
            #[serde(default)]
            pub urgent: bool,
            $($fields)*
        }
    };
}

change! {
    /// 変更: the contract has changed, and the certificate follows.
    AmendmentV1 {
        /// `amendment`.
        kind:
            /// Says that a body is an amendment.
            AmendmentKindV1 = Amendment,
        /// The whole content after the change.
        pub after: ContentV1,
    }
}

change! {
    /// 訂正: a certificate contains an error and is replaced under the same 変更 number.
    CorrectionV1 {
        /// `correction`.
        kind:
            /// Says that a body is a correction.
            CorrectionKindV1 = Correction,
        /// The corrected revision: 0 is 新規, n is 変更－n.
        pub revision: i64,
        /// Why.
        pub reason: String,
        /// The whole content as it should have been.
        pub after: ContentV1,
    }
}

change! {
    /// 変更取消: an amendment is reversed; the certificate before it is valid again.
    AmendmentReversalV1 {
        /// `amendment_reversal`.
        kind:
            /// Says that a body is the reversal of an amendment.
            AmendmentReversalKindV1 = AmendmentReversal,
        /// The reversed amendment: n is 変更－n.
        pub revision: i64,
        /// Why.
        pub reason: String,
    }
}

change! {
    /// 解約: the guarantee ends.
    CancellationV1 {
        /// `cancellation`.
        kind:
            /// Says that a body is a cancellation.
            CancellationKindV1 = Cancellation,
        /// 解約日 `YYYY-MM-DD`: the last day of the guarantee.
        pub cancelled_on: String,
        /// 解約の事由.
        pub cause: CancellationCauseV1,
        #[schemars(
            description = "Evidence of the obligee's consent (同意書), such as its file number and date; required for `consent`."
        )]
        #[serde(default)]
        pub evidence: Option<String>,
    }
}

messages! {
    AmendmentV1 = "amendment.v1", |message| arrays(&message.after);
    CorrectionV1 = "correction.v1", |message| arrays(&message.after);
    AmendmentReversalV1 = "amendment_reversal.v1";
    CancellationV1 = "cancellation.v1";
}

fn arrays(after: &ContentV1) -> usize {
    usize::from(matches!(after.principal, PrincipalV1::JointVenture { .. }))
}

prints_its_name_only!(
    ChangedProductV1,
    ContentV1,
    AmendmentV1,
    CorrectionV1,
    AmendmentReversalV1,
    CancellationV1
);

/// These messages in the contract.
pub(super) const CONTRACT: &[MessageType] = &[
    MessageType::inbound::<AmendmentV1>("An amendment of a guarantee (変更)", "amend"),
    MessageType::inbound::<CorrectionV1>("A correction of a certificate (訂正)", "amend"),
    MessageType::inbound::<AmendmentReversalV1>("The reversal of an amendment (変更取消)", "amend"),
    MessageType::inbound::<CancellationV1>("The cancellation of a guarantee (解約)", "amend"),
];
