//! 商品: the products asked for, each held to the rules of its kind.

use hosho_schema::{
    messages::{Amount, MediumV1, ProductLineV1, ProductV1, WorksKindV1},
    money::Yen,
    snapshots::{ProductLine, Works},
};

use super::{
    super::{
        limits::Limits,
        obligee::{Dates, Obligee},
        text::{self, Lines},
        violation::{Breach, told::Both},
    },
    Field, Form, Limit,
    amounts::{self, Figures, Total},
    dates::{self, Years},
    form::Place,
    media::{self, At},
};

/// What products are judged against.
#[derive(Clone, Copy)]
pub(super) struct Context<'a> {
    pub(super) obligee: Option<&'a Obligee>,
    pub(super) works: &'a Works,
    pub(super) dates: &'a Dates,
    /// Whether each date that was given could be read.
    pub(super) all_dates: bool,
    /// The fiscal years of 工期, where it could be read.
    pub(super) years: Option<Years>,
}

/// The products, each with its index in the message, and what rule 9 says of the total.
#[derive(Default)]
pub(super) struct Read {
    pub(super) lines: Vec<ProductLine>,
    pub(super) indices: Vec<usize>,
    pub(super) total: Option<Total>,
}

pub(super) fn read(form: &mut Form<'_>, wires: &[ProductLineV1], context: Context<'_>) -> Read {
    if wires.is_empty() {
        form.report("$.products", &Breach::ProductsEmpty {});
    }
    let limits = wires.first().and_then(|_| limits(form, context));
    let mut read = Read::default();
    for (index, wire) in wires.iter().enumerate() {
        let (product, place) = (wire.product, Place::Product(index));
        if read.lines.iter().any(|line| line.product == product) {
            // Told once, however many there are.
            if wires[..index].iter().filter(|line| line.product == product).count() == 1 {
                let times = wires.iter().filter(|line| line.product == product).count();
                form.report(
                    Field::new(place, "product", "").path(),
                    &Breach::ProductsDuplicate { product, times },
                );
            }
            continue;
        }
        let line = line(form, place, wire);
        if let Some(figures) = figures(&line, context.works) {
            read.total =
                amounts(form, place, &figures, limits.map(|limits| (limits, context.obligee))).or(read.total);
        }
        let kind = context.works.kind;
        if product == ProductV1::InterimAdvancePayment && kind != WorksKindV1::Construction {
            form.report(Field::new(place, "product", "").path(), &Breach::InterimWorksOnly { kind });
        }
        if let Some(years) = context.years {
            match dates::year_and_base(
                years,
                product,
                context.works.fiscal_year,
                given(wire.this_year_base.as_ref()),
            ) {
                Some(breach @ Breach::BaseRequired { .. }) => {
                    form.report(Field::new(place, "this_year_base", "").path(), &breach)
                }
                Some(breach) => form.report("$.works.fiscal_year", &breach),
                None => {}
            }
        }
        if wire.medium == MediumV1::Electronic
            && let Some(obligee) = context.obligee
        {
            report(form, place, media::electronic(product, kind, obligee, context.dates, context.all_dates));
        }
        read.lines.push(line);
        read.indices.push(index);
    }
    read
}

fn report(form: &mut Form<'_>, place: Place, found: Option<(At, Breach)>) {
    match found {
        None => {}
        Some((At::Medium, breach)) => form.report(Field::new(place, "medium", "").path(), &breach),
        Some((At::Works(field), breach)) => form.report(Field::new(Place::Works, field, "").path(), &breach),
    }
}

/// The limits that hold for these works; `None` where the obligee or the date that decides is not known (and told).
fn limits<'a>(form: &mut Form<'_>, context: Context<'a>) -> Option<&'a Limits> {
    let obligee = context.obligee?;
    if !context.all_dates {
        // The date that decides may be the one that could not be read.
        return obligee.limits.only();
    }
    match obligee.limits(context.dates) {
        Ok(limits) => Some(limits),
        Err(basis) => {
            let what =
                Both { ja: "保証金額の限度".to_owned(), en: "the limits of amounts".to_owned() };
            report(form, Place::Works, media::date_missing(obligee, basis, what));
            None
        }
    }
}

/// Whether a figure was filled in.
fn given(figure: Option<&Amount>) -> bool {
    figure.is_some_and(|figure| !matches!(figure, Amount::Text(text) if text::trim(text).is_empty()))
}

/// The figures of a line; `None` where one was reported.
fn figures(line: &ProductLine, works: &Works) -> Option<Figures> {
    (line.amount > Yen(0) && works.contract_price > Yen(0)).then_some(Figures {
        product: line.product,
        amount: line.amount,
        this_year_base: line.this_year_base,
        price: works.contract_price,
        kind: works.kind,
        low_price: works.low_price,
    })
}

/// Holds the amounts of a line to their limits, and returns what rule 9 says of the total.
fn amounts(
    form: &mut Form<'_>,
    place: Place,
    figures: &Figures,
    limits: Option<(&Limits, Option<&Obligee>)>,
) -> Option<Total> {
    let path = || Field::new(place, "amount", "").path();
    if let Some(base) = figures.this_year_base {
        form.judged(amounts::base_within_price(
            Field::new(place, "this_year_base", "").path(),
            base,
            figures.price,
        ));
    }
    let Some((limits, obligee)) = limits else {
        form.judged(amounts::within_price(path(), figures));
        return None;
    };
    let name = obligee.map(|obligee| obligee.name.as_str()).unwrap_or_default();
    match figures.product {
        ProductV1::AdvancePayment => {
            if let Some(minimum) = limits.advance.minimum_contract_price {
                form.judged(amounts::minimum_price(figures, minimum, name));
            }
            form.judged(amounts::advance_cap(path(), figures, &limits.advance));
            if let Some(maximum) = limits.advance.maximum {
                form.judged(amounts::maximum(path(), figures, maximum, name));
            }
            None
        }
        ProductV1::InterimAdvancePayment => {
            form.judged(amounts::interim_cap(path(), figures, &limits.interim));
            if let Some(maximum) = limits.interim.maximum {
                form.judged(amounts::maximum(path(), figures, maximum, name));
            }
            Some(Total::new(path(), figures, &limits.interim))
        }
        ProductV1::Performance => {
            form.judged(amounts::performance_minimum(path(), figures, &limits.performance));
            form.judged(amounts::within_price(path(), figures));
            None
        }
    }
}

/// Reads one line; an amount that was reported is 0.
fn line(form: &mut Form<'_>, place: Place, wire: &ProductLineV1) -> ProductLine {
    let field = |name, ja| Field::new(place, name, ja);
    let of_advance = wire.product != ProductV1::Performance;
    let amount = form.amount(field("amount", "保証金額"), &wire.amount);
    let base = wire.this_year_base.as_ref().filter(|base| of_advance && given(Some(base)));
    let this_year_base = base.and_then(|figure| form.amount(field("this_year_base", "今年度対象額"), figure));
    // A base that was reported would leave the amount to be judged by another one.
    let amount = if base.is_some() && this_year_base.is_none() { None } else { amount };
    let (bank, redeposit) = if of_advance { deposit(form, place, wire) } else { (None, None) };
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
            Limit::NOTE,
        ),
        bill_to: form.required(field("bill_to", "保証料請求先"), &wire.bill_to, Limit::NOTE),
        calculation_sheet: wire.calculation_sheet,
    }
}

/// 預託金融機関 and 再預託利用区分.
fn deposit(form: &mut Form<'_>, place: Place, wire: &ProductLineV1) -> (Option<String>, Option<bool>) {
    let field = Field::new(place, "bank", "預託金融機関");
    // What is printed is the widened name: its glyphs count, unless it holds what was reported and no message may repeat.
    let bank = form.optional(field, wire.bank.as_deref(), Limit::BANK).map(|bank| text::bank_name(&bank));
    if let Some(bank) = bank.as_ref().filter(|bank| text::fault(bank, Lines::One).is_none()) {
        form.glyphs(field, bank, bank);
    }
    if bank.is_none() {
        form.report(field.path(), &Breach::BankRequired { product: wire.product });
    }
    if wire.redeposit.is_none() {
        form.report(
            Field::new(place, "redeposit", "").path(),
            &Breach::RedepositRequired { product: wire.product },
        );
    }
    (bank, wire.redeposit)
}
