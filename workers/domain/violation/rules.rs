//! All rules that an application or a change can break: code, source, messages.
//!
//! This is the only list. The compiler checks the messages: each placeholder is a field of the [`Breach`].
//! `docs/rules.md` is generated from them. A message states the problem, its reason and a valid value. It
//! never contains a mail address. A bad character is quoted as U+hhhh with its position; every other value
//! from outside goes through [`text::quote`](crate::text::quote).

use chrono::NaiveDate;
use hosho_schema::{
    messages::{BaseV1, MediumV1, ProductV1, WorksKindV1},
    money::{Ratio, Yen},
};

use crate::{
    bilingual::{Bilingual, BilingualText, FieldLabel},
    obligee::Basis,
};

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Source {
    /// A business rule, by its number in `docs/rules.md` (1 to 14).
    Rule(u8),
    /// The form (保証申込): required fields and existing codes.
    Form,
    /// The message contract.
    Contract,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Documentation {
    /// In English.
    pub rule: &'static str,
    pub source: Source,
    /// With placeholders.
    pub message_ja: &'static str,
    /// With placeholders.
    pub message_en: &'static str,
}

macro_rules! rules {
    ($(#[doc = $doc:literal] $name:ident = $code:literal, $source:expr, { $($field:ident: $type:ty),* }, $ja:literal, $en:literal;)*) => {
        /// The code is part of the contract: never renamed, never of another meaning.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
        pub enum Code { $(#[doc = $doc] $name),* }

        impl Code {
            /// In the order of the form.
            pub const ALL: &'static [Code] = &[$(Code::$name),*];

            pub fn as_str(self) -> &'static str {
                match self { $(Code::$name => $code),* }
            }

            pub fn documentation(self) -> Documentation {
                match self {
                    $(Code::$name => Documentation { rule: $doc.trim_ascii(), source: $source, message_ja: $ja, message_en: $en }),*
                }
            }
        }

        /// One broken rule with the values of its message.
        #[derive(Debug, Clone, PartialEq, Eq)]
        pub enum Breach { $(#[doc = $doc] $name { $($field: $type),* }),* }

        impl Breach {
            pub fn code(&self) -> Code {
                match self { $(Breach::$name { .. } => Code::$name),* }
            }

            pub fn ja(&self) -> String {
                match self {
                    $(Breach::$name { $($field),* } => {
                        $(let $field = $field.ja();)*
                        let _ = ($(&$field,)*);
                        format!($ja)
                    })*
                }
            }

            pub fn en(&self) -> String {
                match self {
                    $(Breach::$name { $($field),* } => {
                        $(let $field = $field.en();)*
                        let _ = ($(&$field,)*);
                        format!($en)
                    })*
                }
            }
        }
    };
}

/// Codes of former rules. No new rule may use one of them.
pub const RETIRED: &[&str] = &["product.not_offered"];

rules! {
    /// The payload is JSON.
    MessageNotJson = "message.not_json", Source::Contract, { problem: String, line: usize, column: usize },
        "申込データをJSONとして読み取れません（{line}行{column}文字目付近）。データが途中で切れていないかご確認ください。",
        "not JSON: {problem} (line {line}, column {column})";
    /// The payload has its message's structure: no field unknown, missing or mistyped.
    MessageMalformed = "message.malformed", Source::Contract, { path: String, problem: Bilingual },
        "申込データの項目（{path}）の構造が正しくありません。{problem}",
        "{problem}";
    /// `source` is 1 to 64 characters of `A-Z a-z 0-9 . _ : -`.
    SourceMalformed = "source.malformed", Source::Contract, { most: usize },
        "申込元は半角の英数字と . _ : - からなる1文字以上{most}文字以内でご指定ください。",
        "must be 1 to {most} characters of A-Z a-z 0-9 . _ : -";
    /// `id` is 1 to 64 characters of `A-Z a-z 0-9 . _ : -`.
    IdMalformed = "id.malformed", Source::Contract, { most: usize },
        "申込番号は半角の英数字と . _ : - からなる1文字以上{most}文字以内でご指定ください。",
        "must be 1 to {most} characters of A-Z a-z 0-9 . _ : -";
    /// `source` and `id` identify one content forever.
    ApplicationIdReused = "application.id_reused", Source::Contract, { origin: String, id: String },
        "申込番号「{id}」は、内容の異なる申込ですでに受け付けています。新しい申込であれば、別の番号を付けてください。",
        "id \"{id}\" of source \"{origin}\" was already used for an application with another content; a new application needs a new id";
    /// The branch (取扱箇所) exists.
    BranchUnknown = "branch.unknown", Source::Form, { given: String },
        "申込送信先の取扱箇所コード「{given}」は登録されていません。取扱箇所コードをご確認ください。",
        "no branch has the code \"{given}\"";
    /// The obligee (発注者) exists.
    ObligeeUnknown = "obligee.unknown", Source::Form, { given: String },
        "発注者コード「{given}」は登録されていません。発注者コードをご確認ください。",
        "no obligee has the code \"{given}\"";

    /// A required field is filled in.
    TextRequired = "text.required", Source::Form, { field: FieldLabel },
        "{field}が空欄です。必ずご入力ください。",
        "must not be empty";
    /// A text contains no control character.
    TextControlCharacter = "text.control_character", Source::Rule(14), { field: FieldLabel, position: usize, code_point: String },
        "{field}の{position}文字目に制御文字（{code_point}）があります。改行やタブなどを含めずにご入力ください。",
        "character {position} is a control character ({code_point}): take it out";
    /// A text contains no character that changes the writing direction.
    TextDirection = "text.direction_character", Source::Rule(14), { field: FieldLabel, position: usize, code_point: String },
        "{field}の{position}文字目に文字の向きを変える制御文字（{code_point}）があります。取り除いてください。",
        "character {position} is a directional character ({code_point}): take it out";
    /// A text contains no invisible character.
    TextInvisible = "text.invisible_character", Source::Rule(14), { field: FieldLabel, position: usize, code_point: String },
        "{field}の{position}文字目に目に見えない文字（{code_point}）があります。取り除いてください。",
        "character {position} is an invisible character ({code_point}): take it out";
    /// A text contains no private use character (外字).
    TextPrivateUse = "text.private_use", Source::Rule(14), { field: FieldLabel, position: usize, code_point: String },
        "{field}の{position}文字目に外字（{code_point}）があります。外字は証書に表せません。一般の文字でご入力ください。",
        "character {position} is a private use character ({code_point}): a character of Unicode is needed in its place";
    /// A text contains no code point that is not a character.
    TextNotACharacter = "text.not_a_character", Source::Rule(14), { field: FieldLabel, position: usize, code_point: String },
        "{field}の{position}文字目に文字として扱えない符号（{code_point}）があります。文字化けしていないかご確認ください。",
        "character {position} is a code point that is no character ({code_point}): text was lost on the way";
    /// A text contains no code point to which Unicode has assigned no character.
    TextUnassigned = "text.unassigned", Source::Rule(14), { field: FieldLabel, position: usize, code_point: String },
        "{field}の{position}文字目の符号（{code_point}）には文字が割り当てられていません。文字化けしていないかご確認ください。",
        "character {position} is a code point without a character ({code_point})";
    /// Every character of a text that is printed has a glyph.
    TextUnprintable = "text.unprintable", Source::Rule(14), { field: FieldLabel, characters: Bilingual },
        "{field}のうち{characters}は、証書に印刷できる書体がありません。別の字体でご入力ください。",
        "no font has a glyph for {characters}";
    /// A text is not longer than its field allows; visible characters count.
    TextTooLong = "text.too_long", Source::Rule(14), { field: FieldLabel, length: usize, most: usize },
        "{field}は{most}文字以内でご入力ください（現在{length}文字）。",
        "has {length} characters, at most {most} fit";
    /// An address that begins with 〒 has seven digits after it.
    PostalCodeMalformed = "postal_code.malformed", Source::Form, { field: FieldLabel },
        "{field}の〒の後の郵便番号を読み取れません。〒301-0000 のように7桁の数字でご入力ください。",
        "the postal code after 〒 is not seven digits such as 301-0000";
    /// A telephone number can be dialled.
    TelephoneMalformed = "telephone.malformed", Source::Form, { field: FieldLabel },
        "{field}を電話番号として読み取れません。0297-00-0000 のように市外局番からご入力ください（内線は「内線12」のように続けられます）。",
        "is not a telephone number such as 0297-00-0000, with the area code";

    /// An amount is an integer.
    AmountMalformed = "amount.malformed", Source::Rule(13), { field: FieldLabel, given: String },
        "{field}「{given}」を金額として読み取れません。12,000,000 のように円単位の整数でご入力ください。",
        "\"{given}\" is not a whole figure in yen, such as 12,000,000";
    /// An amount is at least 1 yen.
    AmountNotPositive = "amount.not_positive", Source::Rule(13), { field: FieldLabel },
        "{field}が0円以下です。1円以上の金額をご入力ください。",
        "must be at least 1 yen";
    /// An amount is at most a trillion yen.
    AmountTooLarge = "amount.too_large", Source::Rule(13), { field: FieldLabel, most: Yen },
        "{field}が大きすぎます。桁数をご確認ください（上限 {most}）。",
        "is more than {most}: look at the number of digits";
    /// 請負金額 is at least the obligee's minimum for advances.
    ContractPriceBelowMinimum = "contract_price.below_minimum", Source::Rule(8), { obligee: String, product: ProductV1, price: Yen, minimum: Yen },
        "{obligee}の前払金は請負金額が{minimum}以上の契約が対象ですが、この申込の請負金額は{price}です。{product}はお申し込みいただけません。",
        "the obligee makes advances on contracts of {minimum} or more, and the contract price is {price}: no {product} is possible";
    /// 今年度対象額 is at most 請負金額.
    BaseExceedsContractPrice = "this_year_base.exceeds_contract_price", Source::Rule(8), { base: Yen, price: Yen },
        "今年度対象額（{base}）が請負金額（{price}）を超えています。請負金額以内の金額をご入力ください。",
        "{base} is more than the contract price of {price}";
    /// 保証金額 is at most 請負金額.
    AmountExceedsContractPrice = "amount.exceeds_contract_price", Source::Form, { amount: Yen, price: Yen },
        "保証金額（{amount}）が請負金額（{price}）を超えています。請負金額以内の金額をご入力ください。",
        "{amount} is more than the contract price of {price}";
    /// An advance is at most the obligee's ratio of its base, rounded down to the unit.
    AmountExceedsCap = "amount.exceeds_cap", Source::Rule(8), { amount: Yen, percentage: String, base: BaseV1, base_amount: Yen, ratio: Ratio, unit: Yen, limit: Yen, remedy: Bilingual },
        "保証金額（{amount}、{base}の{percentage}%）が上限を超えています。上限は{base}{base_amount}の{ratio}（{unit}未満切捨て）で{limit}です。{remedy}",
        "{amount} ({percentage}% of the {base}) exceeds the cap: {ratio} of the {base} of {base_amount}, rounded down to {unit}, is {limit}; {remedy}";
    /// The amount of an advance is at most the obligee's absolute maximum.
    AmountExceedsMaximum = "amount.exceeds_maximum", Source::Rule(8), { amount: Yen, product: ProductV1, obligee: String, limit: Yen },
        "保証金額（{amount}）が{obligee}の{product}の限度額（{limit}）を超えています。{limit}以内の金額をご入力ください。",
        "{amount} exceeds the obligee's absolute maximum of {limit} for an {product}";
    /// Advance plus interim advance is at most the obligee's ratio of the base.
    AmountExceedsTotal = "amount.exceeds_total", Source::Rule(9), { amount: Yen, earlier: Yen, total: Yen, base: BaseV1, base_amount: Yen, ratio: Ratio, unit: Yen, limit: Yen, remedy: Bilingual },
        "保証金額（{amount}）と前払金保証の金額（{earlier}）の合計{total}が上限を超えています。合計の上限は{base}{base_amount}の{ratio}（{unit}未満切捨て）で{limit}です。{remedy}",
        "{amount} and the advance payment of {earlier} make {total} and exceed the total: {ratio} of the {base} of {base_amount}, rounded down to {unit}, is {limit}; {remedy}";
    /// The amount of a performance guarantee is at least the obligee's ratio of 請負金額.
    AmountBelowMinimum = "amount.below_minimum", Source::Rule(10), { amount: Yen, percentage: String, price: Yen, ratio: Ratio, limit: Yen },
        "保証金額（{amount}、請負金額の{percentage}%）が契約保証に必要な額に足りません。請負金額{price}の{ratio}にあたる{limit}以上の金額をご入力ください。",
        "{amount} ({percentage}% of the contract price) is too little: at least {ratio} of the contract price of {price}, {limit}, is needed";

    /// A date has one of the accepted formats.
    DateMalformed = "date.malformed", Source::Rule(13), { field: FieldLabel, given: String },
        "{field}「{given}」を日付として読み取れません。2026-11-20 又は 令和8年11月20日 のようにご入力ください。",
        "\"{given}\" is not a day such as 2026-11-20 or 令和8年11月20日";
    /// A date is a day of the calendar.
    DateNoSuchDay = "date.no_such_day", Source::Rule(13), { field: FieldLabel, given: String, remedy: Bilingual },
        "{field}「{given}」は暦にない日付です。{remedy}",
        "\"{given}\" is no day of the calendar: {remedy}";
    /// A date written with an era lies within it.
    DateOutsideEra = "date.outside_era", Source::Rule(13), { field: FieldLabel, given: String, remedy: Bilingual },
        "{field}「{given}」は元号の期間に含まれない日付です。{remedy}",
        "\"{given}\" is not within its era: {remedy}";
    /// A date is plausible for works: 2000 to 2099.
    DateImplausible = "date.implausible", Source::Form, { field: FieldLabel, given: String },
        "{field}（{given}）の年をご確認ください。2000年から2099年までの日付を受け付けます。",
        "{given} is not between 2000 and 2099";
    /// 工期 ends on or after the day it begins.
    TermReversed = "term.reversed", Source::Form, { from: NaiveDate, to: NaiveDate },
        "工期の終期（{to}）が始期（{from}）より前です。始期と終期をご確認ください。",
        "ends on {to}, before it begins on {from}";
    /// The fiscal year of a multi-year contract is one of its 工期.
    FiscalYearOutsideTerm = "fiscal_year.outside_term", Source::Rule(11), { year: i32, years: Bilingual },
        "対象年度（{year}年度）が工期の年度（{years}）に含まれません。対象年度をご確認ください。",
        "fiscal year {year} is not one of the term, {years}";
    /// An advance on 今年度対象額, of a term of several fiscal years, names its year.
    FiscalYearRequired = "fiscal_year.required", Source::Rule(11), { years: Bilingual },
        "工期が複数の年度（{years}）にわたり、今年度対象額があるときは、対象年度が必要です。西暦の年度（例 2026）でご指定ください。",
        "is required where the term spans fiscal years ({years}) and there is a base of this year";
    /// An advance for one year of a term of several fiscal years has 今年度対象額.
    BaseRequired = "this_year_base.required", Source::Rule(8), { product: ProductV1, year: i32 },
        "{year}年度を対象とする複数年度契約の{product}には、今年度対象額（出来高予定額又は支払限度額）が必要です。",
        "is required for an {product} for fiscal year {year} of a contract of several years";
    /// 当初契約日 is not after 請負契約日.
    OriginalContractAfterContract = "original_contract_date.after_contract_date", Source::Form, { original: NaiveDate, contract: NaiveDate },
        "当初契約日（{original}）が請負契約日（{contract}）より後です。日付をご確認ください。",
        "the original contract of {original} is after the contract of {contract}";
    /// An advance is applied for on a signed contract.
    ContractDateInFuture = "contract_date.in_future", Source::Rule(10), { product: ProductV1, contract: NaiveDate, received: NaiveDate },
        "請負契約日（{contract}）が受付日（{received}）より後です。{product}は契約締結後にお申し込みください。契約締結前にお申し込みいただけるのは契約保証だけです。",
        "{contract} is after the day of receipt, {received}: an {product} is applied for when the contract is signed";
    /// An advance has a signed contract; only a performance guarantee may precede it.
    ContractDateRequired = "contract_date.required", Source::Rule(10), { product: ProductV1 },
        "{product}のお申し込みには請負契約日が必要です。契約締結前にお申し込みいただけるのは契約保証だけです。",
        "is required for an {product}; only a performance guarantee may precede the contract";

    /// A joint venture has a 構成員 besides its representative.
    MembersMissing = "members.missing", Source::Form, {},
        "JVの構成員がありません。代表者のほかに1社以上をご入力ください。",
        "a joint venture needs at least one member besides its representative";
    /// A joint venture has no more 構成員 than a certificate can name.
    MembersTooMany = "members.too_many", Source::Form, { members: usize, most: usize },
        "JVの構成員は代表者のほかに{most}社までです（現在{members}社）。",
        "has {members} members besides the representative, at most {most} fit";
    /// At least one product is applied for.
    ProductsEmpty = "products.empty", Source::Form, {},
        "商品（保証区分）が選ばれていません。1つ以上お選びください。",
        "at least one product is required";
    /// An application contains each product once.
    ProductsDuplicate = "products.duplicate", Source::Form, { product: ProductV1, times: usize },
        "{product}が{times}回指定されています。1つの申込では同じ商品を1回だけご指定ください。",
        "the {product} is applied for {times} times; once per application";
    /// No other application is for the same product, works and fiscal year.
    ProductAlreadyApplied = "product.already_applied", Source::Form, { product: ProductV1, earlier: Bilingual },
        "この契約の{product}は、{earlier}ですでに受け付けています。同じ契約・年度に同じ商品を重ねてお申し込みいただけません。内容の変更や取消しは取扱箇所へご相談ください。",
        "the {product} for these works and this fiscal year was already applied for ({earlier}); contact the branch about changes";
    /// The medium of a guarantee never changes.
    MediumFixed = "medium.fixed", Source::Rule(2), { product: ProductV1, medium: MediumV1, earlier: Bilingual },
        "この契約の{product}は、{earlier}で{medium}として受け付けています。証書の形式は後から変更できません。",
        "the {product} for these works was already applied for as {medium} ({earlier}); the medium of a guarantee is fixed for life";
    /// An interim advance is for works (工事) only.
    InterimWorksOnly = "interim_advance.works_only", Source::Rule(9), { kind: WorksKindV1 },
        "中間前払金保証は工事だけが対象です。{kind}についてはお申し込みいただけません。",
        "an interim advance is for construction only, not for {kind}";
    /// An interim advance has an advance payment guarantee for the same works.
    InterimWithoutAdvance = "interim_advance.no_advance_payment", Source::Rule(9), {},
        "中間前払金保証のお申し込みには、同じ契約・年度の前払金保証が発行されている必要がありますが、見つかりません（同じ申込の前払金保証は数えません）。発注者・工事名・工事番号・工期の始期・対象年度・請負契約者が前払金保証のお申し込みと同じかご確認ください。",
        "no advance payment guarantee for these works and this fiscal year (one in the same application does not count): obligee, name and number of the works, first day of the term, fiscal year and contractor must be those of its application";
    /// The advance payment guarantee that an interim advance needs is already issued.
    InterimBeforeAdvanceIssued = "interim_advance.advance_payment_not_issued", Source::Rule(9), { earlier: Bilingual },
        "この契約の前払金保証（{earlier}）はまだ発行されていません。発行完了後に、新しい申込番号で中間前払金保証をお申し込みください。",
        "the advance payment guarantee for these works ({earlier}) is not issued yet; apply again, under a new id, when it is";
    /// An interim advance has its advance's kind of base and low-price tender status.
    InterimDiffersFromAdvance = "interim_advance.differs_from_advance", Source::Rule(9), { what: Bilingual, earlier: Bilingual },
        "{what}が、この契約の前払金保証（{earlier}）のお申し込みと異なります。前払金保証と同じ内容でお申し込みください。",
        "{what}: not as for the advance payment ({earlier}), with which an interim advance is measured";
    /// 預託金融機関 is given for an advance.
    BankRequired = "bank.required", Source::Form, { product: ProductV1 },
        "{product}のお申し込みには預託金融機関が必要です。「〇〇銀行　××支店」のように全角でご入力ください。",
        "the depository bank is required for an {product}";
    /// 再預託利用区分 is given for an advance.
    RedepositRequired = "redeposit.required", Source::Form, { product: ProductV1 },
        "{product}のお申し込みには再預託利用区分が必要です。「利用する」又は「利用しない」をお選びください。",
        "whether the deposit is placed again must be said for an {product}";

    /// The obligee accepts electronic guarantees.
    ObligeeNotElectronic = "obligee.not_electronic", Source::Rule(1), { obligee: String },
        "{obligee}は電子保証を受け付けていません。証書（紙）でお申し込みください。",
        "the obligee takes no electronic guarantees: apply for paper";
    /// The obligee accepts electronic guarantees of this product.
    ObligeeProductNotAccepted = "obligee.product_not_accepted", Source::Rule(1), { obligee: String, product: ProductV1 },
        "{obligee}は{product}の電子保証を受け付けていません。証書（紙）でお申し込みください。",
        "the obligee takes no electronic {product}: apply for paper";
    /// The obligee accepts electronic guarantees for this kind of works.
    ObligeeKindNotAccepted = "obligee.kind_not_accepted", Source::Rule(1), { obligee: String, kind: WorksKindV1 },
        "{obligee}は{kind}についての電子保証を受け付けていません。証書（紙）でお申し込みください。",
        "the obligee takes no electronic guarantees for {kind}: apply for paper";
    /// The date by which this obligee decides is given.
    ObligeeDateMissing = "obligee.date_missing", Source::Rule(1), { obligee: String, basis: Basis, what: Bilingual },
        "{obligee}では{what}が{basis}によって決まります。{basis}をご入力ください。",
        "the {basis} decides about {what} at this obligee: it is required";
    /// The deciding date is on or after the obligee's start of electronic guarantees.
    ObligeeNotYetElectronic = "obligee.not_yet_electronic", Source::Rule(1), { obligee: String, basis: Basis, start: NaiveDate, date: Bilingual, counted: NaiveDate },
        "{obligee}の電子保証は{basis}が{start}以後のものが対象ですが、この申込の{date}は{counted}です。証書（紙）でお申し込みください。",
        "the obligee takes electronic guarantees where the {basis} is {start} or later, and the {date} is {counted}: apply for paper";

    /// An address is given when a mail is wanted.
    MailAddressRequired = "mail_address.required", Source::Rule(7), {},
        "電子保証発行完了のお知らせを希望される場合は、メールアドレスが必要です。",
        "is required when the notification is wanted";
    /// Mail can be sent to a mail address.
    MailAddressMalformed = "mail_address.malformed", Source::Form, {},
        "メールアドレスの形式が正しくありません。「名前@ドメイン」の形で、@の前は半角でご入力ください。",
        "is not a mail address: the part before the @ is ASCII, the domain has a dot";

    /// Cancelling needs evidence of consent, unless the cause is on the obligee's side.
    CancellationConsentRequired = "cancellation.consent_required", Source::Rule(12), {},
        "解約には発注者の同意を確認できる書面が必要です。発注者の事由により工事請負契約が終了した場合を除き、同意書等を添えてください。",
        "evidence of the obligee's consent is required, unless the works contract ended for causes on its side";

    /// `source` and `id` identify one change forever.
    ChangeIdReused = "change.id_reused", Source::Contract, { origin: String, id: String },
        "変更等の番号「{id}」は、内容の異なるものですでに受け付けています。新しい変更等であれば、別の番号を付けてください。",
        "id \"{id}\" of source \"{origin}\" was already used for a change with another content; a new change needs a new id";
    /// 保証契約番号 has the published format.
    GuaranteeMalformed = "guarantee.malformed", Source::Rule(14), { given: String },
        "保証契約番号「{given}」を読み取れません。31074-00001M のようにご入力ください。",
        "\"{given}\" is not a guarantee number such as 31074-00001M";
    /// The guarantee exists, is of this source, and its certificate is in the registry.
    GuaranteeUnknown = "guarantee.unknown", Source::Form, { given: String },
        "保証契約番号「{given}」の保証契約が見つかりません。番号と、発行が完了していることをご確認ください。",
        "there is no issued guarantee {given} of this source";
    /// The guarantee has not ended.
    GuaranteeEnded = "guarantee.ended", Source::Form, { number: String, on: NaiveDate },
        "保証契約番号{number}の保証契約は、{on}をもって解約されています（解約の受付を含みます）。",
        "guarantee {number} is cancelled with {on}, or its cancellation was accepted";
    /// A version is 1 or more.
    VersionNotPositive = "version.not_positive", Source::Contract, {},
        "変更等の順番（version）は1以上の整数でご指定ください。",
        "must be 1 or more";
    /// No other change of the guarantee has the version.
    VersionTaken = "version.taken", Source::Contract, { version: i64 },
        "この保証契約には、順番（version）{version}の変更等がすでにあります。次の番号でお送りください。",
        "another change of the guarantee has version {version}: send it with the next one";
    /// No larger version took effect: an older change never overwrites a newer one.
    VersionOutdated = "version.outdated", Source::Contract, { version: i64, latest: i64 },
        "この保証契約には、順番（version）{latest}の変更等がすでに反映されています。それより古い順番（{version}）の変更等は反映できません。最新の内容でお送りください。",
        "version {version} is older than version {latest}, which took effect already: send what holds now, with a new version";
    /// The certificate to be corrected or reversed is visible.
    RevisionUnknown = "revision.unknown", Source::Rule(5), { given: String, shown: Bilingual },
        "この保証契約に、対象の「{given}」がありません（現在の対象：{shown}）。",
        "the guarantee shows no {given}; it shows {shown}";
    /// Only an amendment can be reversed.
    RevisionNotAnAmendment = "revision.not_an_amendment", Source::Rule(5), {},
        "新規の証書は変更取消の対象になりません。保証契約を終える場合は解約をお申し込みください。",
        "the first certificate is no amendment: what ends a guarantee is a cancellation";
    /// 解約日 is not before the guarantee.
    CancelledBeforeIssue = "cancelled_on.before_issue", Source::Rule(12), { cancelled: NaiveDate, issued: NaiveDate },
        "解約日（{cancelled}）が保証契約の発行日（{issued}）より前です。日付をご確認ください。",
        "{cancelled} is before the guarantee was issued, {issued}";
}
