//! The products of an application, each checked against the rules of its kind.

use hosho_schema::{
    messages::{Amount, MediumV1, ProductLineV1, ProductV1, WorksKindV1},
    money::Yen,
    snapshots::{ProductLine, Works},
};

use super::{
    amounts::{self, LineAmounts, Total},
    dates::{self, needs_contract},
    form::{Field, FormReader, Section, TextLimit},
    media,
    works::WorksSection,
};
use crate::{
    bilingual::Bilingual,
    limits::Limits,
    obligee::Obligee,
    text::{self, Lines},
    violation::Breach,
};

#[derive(Default)]
pub(super) struct ProductsSection {
    pub(super) lines: Vec<ProductLine>,
    /// Index in the message of each line.
    pub(super) indices: Vec<usize>,
    /// Present if 中間前払金 is applied for.
    pub(super) total: Option<Total>,
}

pub(super) fn read(
    form: &mut FormReader<'_>,
    wires: &[ProductLineV1],
    obligee: Option<&Obligee>,
    works: &WorksSection,
) -> ProductsSection {
    if wires.is_empty() {
        form.report("$.products", &Breach::ProductsEmpty {});
    }
    let limits = wires.first().and(obligee).and_then(|obligee| limits(form, obligee, works));
    let mut products = ProductsSection::default();
    for (index, wire) in wires.iter().enumerate() {
        let (product, section) = (wire.product, Section::Product(index));
        if products.lines.iter().any(|line| line.product == product) {
            // A product applied for several times is reported once.
            if wires[..index].iter().filter(|line| line.product == product).count() == 1 {
                let times = wires.iter().filter(|line| line.product == product).count();
                form.report(section.path_to("product"), &Breach::ProductsDuplicate { product, times });
            }
            continue;
        }
        let line = read_line(form, section, wire);
        if let Some(amounts) = line_amounts(&line, &works.works) {
            products.total = check_amounts(form, section, &amounts, limits).or(products.total);
        }
        let kind = works.works.kind;
        if product == ProductV1::InterimAdvancePayment && kind != WorksKindV1::Construction {
            form.report(section.path_to("product"), &Breach::InterimWorksOnly { kind });
        }
        if let Some(years) = works.years {
            let (year, has_base) = (works.works.fiscal_year, is_given(wire.this_year_base.as_ref()));
            match dates::check_year_and_base(years, product, year, has_base) {
                Some(breach @ Breach::BaseRequired { .. }) => {
                    form.report(section.path_to("this_year_base"), &breach);
                }
                Some(breach) => form.report("$.works.fiscal_year", &breach),
                None => {}
            }
        }
        if wire.medium == MediumV1::Electronic
            && let Some((path, breach)) =
                obligee.and_then(|obligee| media::check_electronic(section, product, obligee, works))
        {
            form.report(path, &breach);
        }
        products.lines.push(line);
        products.indices.push(index);
    }
    products
}

/// With the obligee's name; `None` if the date that selects them is unusable.
fn limits<'a>(
    form: &mut FormReader<'_>,
    obligee: &'a Obligee,
    works: &WorksSection,
) -> Option<(&'a Limits, &'a str)> {
    let name = obligee.name.as_str();
    if !works.dates_valid {
        // The invalid date may be the one that selects the limits.
        return obligee.limits.only().map(|limits| (limits, name));
    }
    match obligee.limits(&works.dates) {
        Ok(limits) => Some((limits, name)),
        Err(basis) => {
            let what = Bilingual::new("保証金額の限度", "the limits of amounts");
            if let Some((path, breach)) = media::date_missing(obligee, basis, what) {
                form.report(path, &breach);
            }
            None
        }
    }
}

fn is_given(amount: Option<&Amount>) -> bool {
    amount.is_some_and(|amount| !matches!(amount, Amount::Text(text) if text::trim(text).is_empty()))
}

fn line_amounts(line: &ProductLine, works: &Works) -> Option<LineAmounts> {
    (line.amount > Yen(0) && works.contract_price > Yen(0)).then_some(LineAmounts {
        product: line.product,
        amount: line.amount,
        this_year_base: line.this_year_base,
        price: works.contract_price,
        kind: works.kind,
        low_price: works.low_price,
    })
}

/// Checks the amounts of a line, and returns the total of rule 9 for 中間前払金.
fn check_amounts(
    form: &mut FormReader<'_>,
    section: Section,
    line: &LineAmounts,
    limits: Option<(&Limits, &str)>,
) -> Option<Total> {
    let path = || section.path_to("amount");
    if let Some(base) = line.this_year_base {
        form.record(amounts::check_base(section.path_to("this_year_base"), base, line.price));
    }
    let Some((limits, obligee)) = limits else {
        form.record(amounts::check_price(path(), line));
        return None;
    };
    let maximum = match line.product {
        ProductV1::AdvancePayment => {
            if let Some(minimum) = limits.advance.minimum_contract_price {
                form.record(amounts::check_minimum_price(line, minimum, obligee));
            }
            let ratio = limits.advance.ratio(line.kind, line.low_price);
            form.record(amounts::check_cap(path(), line, ratio, limits.advance.rounding_unit));
            limits.advance.maximum
        }
        ProductV1::InterimAdvancePayment => {
            let ratio = limits.interim.ratio(line.low_price);
            form.record(amounts::check_cap(path(), line, ratio, limits.interim.rounding_unit));
            limits.interim.maximum
        }
        ProductV1::Performance => {
            form.record(amounts::check_performance_minimum(path(), line, &limits.performance));
            form.record(amounts::check_price(path(), line));
            None
        }
    };
    if let Some(maximum) = maximum {
        form.record(amounts::check_maximum(path(), line, maximum, obligee));
    }
    (line.product == ProductV1::InterimAdvancePayment).then(|| Total::new(path(), line, &limits.interim))
}

/// Reads one line. A reported amount becomes 0.
fn read_line(form: &mut FormReader<'_>, section: Section, wire: &ProductLineV1) -> ProductLine {
    let field = |name, ja| Field::new(section, name, ja);
    let is_advance = needs_contract(wire.product);
    let amount = form.amount(field("amount", "保証金額"), &wire.amount);
    let base = wire.this_year_base.as_ref().filter(|base| is_advance && is_given(Some(base)));
    let this_year_base = base.and_then(|base| form.amount(field("this_year_base", "今年度対象額"), base));
    // Without its reported base, the amount would be checked against the contract price.
    let amount = if base.is_some() && this_year_base.is_none() { None } else { amount };
    let (bank, redeposit) = if is_advance { read_deposit(form, section, wire) } else { (None, None) };
    ProductLine {
        product: wire.product,
        medium: wire.medium,
        amount: amount.unwrap_or_default(),
        this_year_base,
        bank,
        redeposit,
        premium_payment: form.required(
            field("premium_payment", "保証料支払方法"),
            &wire.premium_payment,
            TextLimit::NOTE,
        ),
        bill_to: form.required(field("bill_to", "保証料請求先"), &wire.bill_to, TextLimit::NOTE),
        calculation_sheet: wire.calculation_sheet,
    }
}

fn read_deposit(
    form: &mut FormReader<'_>,
    section: Section,
    wire: &ProductLineV1,
) -> (Option<String>, Option<bool>) {
    let field = Field::new(section, "bank", "預託金融機関");
    // Documents print the widened name, so its glyphs are checked. A name with a reported character is not
    // quoted again.
    let bank = form.optional(field, wire.bank.as_deref(), TextLimit::BANK).map(|bank| text::bank_name(&bank));
    if let Some(bank) = bank.as_ref().filter(|bank| text::find_invalid(bank, Lines::One).is_none()) {
        form.glyphs(field, bank, bank);
    }
    if bank.is_none() {
        form.report(field.path(), &Breach::BankRequired { product: wire.product });
    }
    if wire.redeposit.is_none() {
        form.report(section.path_to("redeposit"), &Breach::RedepositRequired { product: wire.product });
    }
    (bank, wire.redeposit)
}
