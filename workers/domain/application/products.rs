//! 商品: the products asked for, and whether the obligee takes them electronically.

use hosho_schema::{
    messages::{MediumV1, ProductLineV1, ProductV1, WorksKindV1},
    snapshots::{ProductLine, Works},
};

use super::{
    super::{
        money::Yen,
        obligee::{Dates, Obligee, Refusal},
        text, wareki, wording,
    },
    Code, Field, Form, Limit,
};

fn kind_ja(kind: WorksKindV1) -> &'static str {
    match kind {
        WorksKindV1::Construction => "工事",
        WorksKindV1::Design => "設計・調査",
        WorksKindV1::Surveying => "測量",
        WorksKindV1::Machinery => "機械製造",
    }
}

pub(super) fn read(
    form: &mut Form<'_>,
    lines: &[ProductLineV1],
    obligee: Option<&Obligee>,
    works: &Works,
    dates: Option<&Dates>,
) -> Vec<ProductLine> {
    if lines.is_empty() {
        form.report(
            Code::ProductsEmpty,
            "$.products",
            "商品（保証区分）が選ばれていません。1つ以上お選びください。".to_owned(),
            "at least one product must be asked for".to_owned(),
        );
    }
    let mut read: Vec<ProductLine> = Vec::new();
    for (index, wire) in lines.iter().enumerate() {
        let at = format!("$.products[{index}]");
        if read.iter().any(|line| line.product == wire.product) {
            // Told once, however many there are.
            let times = lines.iter().filter(|line| line.product == wire.product).count();
            if lines[..index].iter().filter(|line| line.product == wire.product).count() == 1 {
                let product = wording::product(wire.product);
                form.report(
                    Code::ProductsDuplicate,
                    &format!("{at}.product"),
                    format!("{product}が{times}回指定されています。1つの申込では同じ商品を1回だけご指定ください。"),
                    format!("the same product is asked for {times} times; once per application"),
                );
            }
            continue;
        }
        read.push(line(form, &at, wire, works.contract_price));
        if wire.product == ProductV1::InterimAdvancePayment {
            form.report(
                Code::ProductNotOffered,
                &format!("{at}.product"),
                "中間前払金保証は、現在このシステムではお申し込みいただけません。取扱箇所へご相談ください。".to_owned(),
                "interim advance payment guarantees are not offered yet".to_owned(),
            );
        } else if wire.medium == MediumV1::Electronic
            && let (Some(obligee), Some(dates)) = (obligee, dates)
        {
            electronic(form, &at, wire.product, works.kind, obligee, dates);
        }
    }
    read
}

/// Reads one line. `contract_price` is 0 where it was reported.
fn line(form: &mut Form<'_>, at: &str, wire: &ProductLineV1, contract_price: i64) -> ProductLine {
    let field = |name: &str, ja: &str| Field::new(format!("{at}.{name}"), ja);
    let of_advance = wire.product != ProductV1::Performance;

    let amount = form.amount(&field("amount", "保証金額"), &wire.amount);
    at_most_price(form, &field("amount", "保証金額"), Code::AmountExceedsContractPrice, amount, contract_price);
    let base_field = field("this_year_base", "今年度対象額");
    let base = wire.this_year_base.as_ref().filter(|_| of_advance).and_then(|figure| form.amount(&base_field, figure));
    at_most_price(form, &base_field, Code::BaseExceedsContractPrice, base, contract_price);

    let (bank, redeposit) = if of_advance { deposit(form, at, wire) } else { (None, None) };
    ProductLine {
        product: wire.product,
        medium: wire.medium,
        amount: amount.unwrap_or_default(),
        this_year_base: base,
        bank,
        redeposit,
        premium_payment: form.required(&field("premium_payment", "保証料支払方法"), &wire.premium_payment, Limit::NOTE),
        bill_to: form.required(&field("bill_to", "保証料請求先"), &wire.bill_to, Limit::NOTE),
        calculation_sheet: wire.calculation_sheet,
    }
}

fn at_most_price(form: &mut Form<'_>, field: &Field, code: Code, amount: Option<i64>, contract_price: i64) {
    let Some(amount) = amount.filter(|&amount| contract_price > 0 && amount > contract_price) else { return };
    let (ja, given, price) = (&field.ja, Yen(amount), Yen(contract_price));
    form.report(
        code,
        &field.path,
        format!("{ja}（{given}）が請負金額（{price}）を超えています。請負金額以内の金額をご入力ください。"),
        format!("{amount} yen is more than the contract price of {contract_price} yen"),
    );
}

/// 預託金融機関 and 再預託利用区分.
fn deposit(form: &mut Form<'_>, at: &str, wire: &ProductLineV1) -> (Option<String>, Option<bool>) {
    let product = wording::product(wire.product);
    let field = Field::new(format!("{at}.bank"), "預託金融機関");
    // What is printed is the widened name: its glyphs count.
    let bank = form.optional(&field, wire.bank.as_deref(), Limit::BANK).map(|bank| text::bank_name(&bank));
    if let Some(bank) = &bank {
        form.glyphs(&field, bank, bank);
    }
    if bank.is_none() {
        form.report(
            Code::BankRequired,
            &field.path,
            format!("{product}のお申し込みには預託金融機関が必要です。「〇〇銀行　××支店」のように全角でご入力ください。"),
            "the depository bank is required for an advance payment guarantee".to_owned(),
        );
    }
    if wire.redeposit.is_none() {
        form.report(
            Code::RedepositRequired,
            &format!("{at}.redeposit"),
            format!("{product}のお申し込みには再預託利用区分が必要です。「利用する」又は「利用しない」をお選びください。"),
            "whether the deposit is placed again must be said for an advance payment guarantee".to_owned(),
        );
    }
    (bank, wire.redeposit)
}

/// Rule 1. Paper stays available, and every message says so.
fn electronic(form: &mut Form<'_>, at: &str, product: ProductV1, kind: WorksKindV1, obligee: &Obligee, dates: &Dates) {
    let Err(refusal) = obligee.accepts(product, kind, dates) else { return };
    let (name, path) = (&obligee.name, format!("{at}.medium"));
    let paper = "証書（紙）でお申し込みください。";
    match refusal {
        Refusal::PaperOnly => form.report(
            Code::ObligeeNotElectronic,
            &path,
            format!("{name}は電子保証を受け付けていません。{paper}"),
            format!("obligee {} takes no electronic guarantees", obligee.code),
        ),
        Refusal::Product => form.report(
            Code::ObligeeProductNotAccepted,
            &path,
            format!("{name}は{}の電子保証を受け付けていません。{paper}", wording::product(product)),
            format!("obligee {} takes no electronic guarantees of this product", obligee.code),
        ),
        Refusal::Kind => form.report(
            Code::ObligeeKindNotAccepted,
            &path,
            format!("{name}は{}についての電子保証を受け付けていません。{paper}", kind_ja(kind)),
            format!("obligee {} takes no electronic guarantees for this kind of works", obligee.code),
        ),
        Refusal::DateMissing(start) => {
            // An absent contract date of an advance is reported by its own rule.
            let field = start.basis.field();
            if !matches!(field, "contract_date" | "original_contract_date") {
                let (basis, on) = (start.basis.ja(), wareki::format(start.on));
                form.report(
                    Code::ObligeeDateMissing,
                    &format!("$.works.{field}"),
                    format!("{name}の電子保証は{basis}が{on}以後のものが対象です。{basis}をご入力ください。"),
                    format!("obligee {} takes electronic guarantees by this date, from {}: it is required", obligee.code, start.on),
                );
            }
        }
        Refusal::TooEarly { start, counted } => {
            let (basis, on, counted_ja) = (start.basis.ja(), wareki::format(start.on), wareki::format(counted));
            form.report(
                Code::ObligeeNotYetElectronic,
                &path,
                format!("{name}の電子保証は{basis}が{on}以後のものが対象ですが、この申込では{counted_ja}です。{paper}"),
                format!("obligee {} takes electronic guarantees from {} on; the date that counts is {counted}", obligee.code, start.on),
            );
        }
    }
}
