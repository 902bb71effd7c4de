//! `application.v1`: an application, field by field of the form (保証申込).
//!
//! Decoding checks structure and presence. The validate stage checks widths, dates, amounts and the business
//! rules, and reports all violations at once.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{Amount, message_type::MessageType};
use crate::personal::prints_its_name_only;

/// An application (保証申込) for one or more guarantees on the same works.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ApplicationV1 {
    /// Name of the upstream system, such as `portal`.
    /// With `id` it is the idempotency key.
    pub source: String,
    /// The upstream's own id of the application, unique within `source`.
    pub id: String,
    /// 申込送信先: code of the branch, two digits.
    pub branch: String,
    /// 発注者: code of the obligee, as in `config/obligees/<code>.toml`.
    pub obligee: String,
    /// 工事・業務委託.
    pub works: WorksV1,
    /// 請負契約者.
    pub principal: PrincipalV1,
    /// 商品: the requested products, at least one.
    pub products: Vec<ProductLineV1>,
    /// 電子保証発行完了のお知らせ.
    pub notification: NotificationV1,
    /// 担当者.
    #[serde(default)]
    pub contact: ContactV1,
}

messages! {
    ApplicationV1 = "application.v1",
        |message| 1 + usize::from(matches!(message.principal, PrincipalV1::JointVenture { .. }));
}

/// The works (工事・業務委託) the guarantee is for.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct WorksV1 {
    /// 工事名.
    pub name: String,
    /// The obligee's own number of the works (工事番号), if it has one.
    #[serde(default)]
    pub number: Option<String>,
    /// Kind of the works.
    pub kind: WorksKindV1,
    /// 請負金額 in yen, tax included.
    pub contract_price: Amount,
    /// 工期.
    pub term: TermV1,
    /// 請負契約日 `YYYY-MM-DD`. May be absent for a performance guarantee (契約前の申込).
    #[serde(default)]
    pub contract_date: Option<String>,
    /// 当初契約日 `YYYY-MM-DD`, where the contract has been changed since.
    #[serde(default)]
    pub original_contract_date: Option<String>,
    /// 公告日 `YYYY-MM-DD`.
    #[serde(default)]
    pub announced_on: Option<String>,
    /// 指名日 `YYYY-MM-DD`.
    #[serde(default)]
    pub designated_on: Option<String>,
    /// 通知日 `YYYY-MM-DD`.
    #[serde(default)]
    pub notified_on: Option<String>,
    /// 落札決定日 `YYYY-MM-DD`.
    #[serde(default)]
    pub awarded_on: Option<String>,
    /// 低入札: the contract was won below the investigation price.
    #[serde(default)]
    pub low_price: bool,
    /// 複数年度契約: the covered fiscal year of a multi-year contract (2026 = 令和8年度).
    #[serde(default)]
    pub fiscal_year: Option<i32>,
}

/// Kind of works; caps and acceptance depend on it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum WorksKindV1 {
    /// 工事.
    Construction,
    /// 設計・調査.
    Design,
    /// 測量.
    Surveying,
    /// 機械製造.
    Machinery,
}

/// 工期, both days included.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct TermV1 {
    /// First day `YYYY-MM-DD`.
    pub from: String,
    /// Last day `YYYY-MM-DD`.
    pub to: String,
}

/// 請負契約者: a single company or a joint venture.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(tag = "kind", rename_all = "snake_case", deny_unknown_fields)]
pub enum PrincipalV1 {
    /// A single company.
    Company {
        /// 商号.
        name: String,
        /// 住所.
        address: String,
        /// 代表者の役職・氏名, such as 代表取締役 髙橋 一郎.
        representative: String,
    },
    /// 共同企業体.
    JointVenture {
        /// JV名.
        name: String,
        /// 代表者 of the joint venture: the notice names it.
        representative: CompanyV1,
        /// 構成員 other than the representative, at least one.
        members: Vec<CompanyV1>,
    },
}

/// A company within a joint venture.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct CompanyV1 {
    /// 商号.
    pub name: String,
    /// 住所.
    pub address: String,
    /// 代表者の役職・氏名.
    pub representative: String,
}

/// 商品（保証区分）.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum ProductV1 {
    /// 前払金保証.
    AdvancePayment,
    /// 中間前払金保証.
    InterimAdvancePayment,
    /// 契約保証.
    Performance,
}

/// 証書の形式.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum MediumV1 {
    /// 電子保証（認証キーを含む）.
    Electronic,
    /// 証書（紙）.
    Paper,
}

/// One requested product.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ProductLineV1 {
    /// 商品.
    pub product: ProductV1,
    /// 証書の形式.
    pub medium: MediumV1,
    /// 保証金額 in yen.
    pub amount: Amount,
    /// 今年度対象額 in yen (出来高予定額 or 支払限度額 of a multi-year contract).
    #[serde(default)]
    pub this_year_base: Option<Amount>,
    /// 預託金融機関; required for 前払金 and 中間前払金.
    #[serde(default)]
    pub bank: Option<String>,
    /// 再預託利用区分: true 利用する, false 利用しない; required for 前払金 and 中間前払金.
    #[serde(default)]
    pub redeposit: Option<bool>,
    /// 保証料支払方法, such as 一括納付.
    pub premium_payment: String,
    /// 保証料請求先.
    pub bill_to: String,
    /// 保証料計算書（紙）: true 希望する, false 希望しない.
    pub calculation_sheet: bool,
}

/// 電子保証発行完了のお知らせ.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct NotificationV1 {
    /// true 希望する, false 希望しない.
    pub wanted: bool,
    /// メールアドレス; required when wanted.
    #[serde(default)]
    pub mail_address: Option<String>,
}

/// 担当者: all optional.
#[derive(Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ContactV1 {
    /// 担当部署.
    #[serde(default)]
    pub department: Option<String>,
    /// 役職.
    #[serde(default)]
    pub position: Option<String>,
    /// 担当者名.
    #[serde(default)]
    pub name: Option<String>,
    /// 連絡先電話番号.
    #[serde(default)]
    pub telephone: Option<String>,
    /// 連絡事項.
    #[serde(default)]
    pub remarks: Option<String>,
}

prints_its_name_only!(ApplicationV1, PrincipalV1, CompanyV1, ProductLineV1, NotificationV1, ContactV1);

/// These messages in the contract.
pub(super) const CONTRACT: &[MessageType] =
    &[MessageType::inbound::<ApplicationV1>("An application for guarantees (保証申込)", "validate")];
