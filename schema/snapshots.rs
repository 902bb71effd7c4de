//! JSON that is written once and read years later.
//! Normalised applications and the contents of revisions.
//!
//! Kept as canonical JSON text ([`canonical`]), because the text is hashed. The types grow only by optional
//! fields that are omitted when empty: a stored text is written again as it was.

use chrono::NaiveDate;
use serde::{Deserialize, Serialize, de::DeserializeOwned};

use crate::messages::{CancellationCauseV1, MediumV1, ProductV1, WorksKindV1};
use crate::money::Yen;
use crate::personal::prints_its_name_only;

/// The stored and hashed text: compact JSON, fields in the order of the type.
///
/// # Panics
/// Never for the types of this module: they hold no map with keys that are not text.
#[expect(clippy::expect_used, reason = "see Panics")]
pub fn canonical<T: Serialize>(snapshot: &T) -> String {
    serde_json::to_string(snapshot).expect("snapshots serialise")
}

pub fn read<T: DeserializeOwned>(text: &str) -> Result<T, serde_json::Error> {
    serde_json::from_str(text)
}

/// An accepted application, with dates, amounts and character widths normalised.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Application {
    pub source: String,
    pub id: String,
    pub branch: String,
    pub obligee: String,
    pub works: Works,
    pub principal: Principal,
    /// 商品, at least one.
    pub products: Vec<ProductLine>,
    /// Where the mail goes: `None` is 希望しない.
    pub mail_address: Option<String>,
    pub contact: Contact,
}

/// 工事・業務委託.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Works {
    /// 工事名.
    pub name: String,
    /// 工事番号.
    pub number: Option<String>,
    pub kind: WorksKindV1,
    /// 請負金額.
    pub contract_price: Yen,
    /// 工期, first day.
    pub from: NaiveDate,
    /// 工期, last day.
    pub to: NaiveDate,
    /// 請負契約日.
    pub contract_date: Option<NaiveDate>,
    /// 低入札.
    pub low_price: bool,
    /// Fiscal year of a multi-year contract (2026 = 令和8年度).
    pub fiscal_year: Option<i32>,
}

#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Company {
    /// 商号.
    pub name: String,
    /// 住所.
    pub address: String,
    /// 代表者の役職・氏名.
    pub representative: String,
}

/// 請負契約者.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Principal {
    /// JV名 of a joint venture.
    pub joint_venture: Option<String>,
    /// The company, or the representative of the joint venture.
    pub company: Company,
    /// 構成員 of a joint venture other than the representative.
    pub members: Vec<Company>,
}

#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ProductLine {
    pub product: ProductV1,
    pub medium: MediumV1,
    /// 保証金額.
    pub amount: Yen,
    /// 今年度対象額.
    pub this_year_base: Option<Yen>,
    /// 預託金融機関, full-width.
    pub bank: Option<String>,
    /// 再預託を利用する.
    pub redeposit: Option<bool>,
    /// 保証料支払方法.
    pub premium_payment: String,
    /// 保証料請求先.
    pub bill_to: String,
    /// 保証料計算書（紙）を希望する.
    pub calculation_sheet: bool,
}

/// 担当者.
#[derive(Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Contact {
    /// 担当部署.
    pub department: Option<String>,
    /// 役職.
    pub position: Option<String>,
    /// 担当者名.
    pub name: Option<String>,
    /// 連絡先電話番号.
    pub telephone: Option<String>,
    /// 連絡事項.
    pub remarks: Option<String>,
}

/// 保証会社 at the time of issue.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Surety {
    /// 商号.
    pub name: String,
    /// 住所.
    pub address: String,
    /// 代表者の役職・氏名, such as 取締役社長 山田 太郎.
    pub president: String,
    /// Version of the 約款, such as 令和8年4月版.
    pub terms_version: String,
    /// SHA-256 (hexadecimal) of the PNG of its seal, where it has one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub seal: Option<String>,
}

/// 取扱箇所 at the time of issue.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Branch {
    pub code: String,
    pub name: String,
    /// 住所.
    pub address: String,
    pub telephone: String,
    pub fax: String,
    pub mail_address: String,
}

/// 発注者 at the time of issue, with where it wants the notice handed in.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Obligee {
    /// Code, as the file name in `config/obligees/`.
    pub code: String,
    pub name: String,
    /// 職名 shown on the certificate, such as 平川市長.
    pub title: String,
    pub submission: Submission,
}

/// How an obligee takes the notice for one product.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Submission {
    /// By mail, or by upload to its electronic contract system.
    pub channel: Channel,
    /// 担当部署.
    pub department: Option<String>,
    pub mail_address: Option<String>,
    pub system: Option<String>,
    /// The subject it demands, with 工事番号 and 工事名 filled in.
    pub subject: Option<String>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Channel {
    /// ② attach it to an e-mail.
    Mail,
    /// ① upload it to the electronic contract system.
    Upload,
}

/// The full content of one revision of a certificate (保証証書).
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Certificate {
    /// 保証契約番号.
    pub number: String,
    /// 0 is 新規, n is 変更－n.
    pub revision: i64,
    /// 発行日: the day it was drawn up (Asia/Tokyo).
    pub issued_on: NaiveDate,
    pub product: ProductV1,
    pub medium: MediumV1,
    /// 保証金額（総額）.
    pub amount: Yen,
    /// 保証期限.
    pub expires_on: NaiveDate,
    /// 預託金融機関.
    pub bank: Option<String>,
    /// 今年度対象額, where the amount is measured by it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub this_year_base: Option<Yen>,
    pub works: Works,
    /// 保証契約者.
    pub principal: Principal,
    /// 被保証者.
    pub obligee: Obligee,
    pub surety: Surety,
    pub branch: Branch,
    /// Of a correction: the revision it replaces, by its place in the chain.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub corrects: Option<i64>,
}

/// Content of a reversal (変更取消), which has no document.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Reversal {
    /// 保証契約番号.
    pub number: String,
    /// The 変更 number of the amendment that is taken back.
    pub revision: i64,
    /// The revision that is taken back, by its place in the chain.
    pub reverses: i64,
    /// The revision that is valid again, by its place in the chain.
    pub restores: i64,
    pub reversed_on: NaiveDate,
}

/// Content of a cancellation (解約): the cancellation letter is drawn from it.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Cancellation {
    /// 解約日: the last day of the guarantee.
    pub cancelled_on: NaiveDate,
    /// 解約の事由.
    pub cause: CancellationCauseV1,
    /// Date of the cancellation letter (Asia/Tokyo).
    #[serde(rename = "told_on")]
    pub notified_on: NaiveDate,
    pub certificate: Certificate,
}

#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub enum Change {
    /// 変更.
    Amendment {
        /// The content after the change: an application for one product.
        after: Box<Application>,
    },
    /// 訂正.
    Correction {
        /// The 変更 number that is corrected.
        revision: i64,
        reason: String,
        /// The content as it should have been: an application for one product.
        after: Box<Application>,
    },
    /// 変更取消.
    AmendmentReversal {
        /// The 変更 number that is taken back.
        revision: i64,
        reason: String,
    },
    /// 解約.
    Cancellation {
        /// 解約日.
        cancelled_on: NaiveDate,
        /// 解約の事由.
        cause: CancellationCauseV1,
        evidence: Option<String>,
    },
}

prints_its_name_only!(
    Application,
    Principal,
    Company,
    ProductLine,
    Contact,
    Certificate,
    Cancellation,
    Change
);
