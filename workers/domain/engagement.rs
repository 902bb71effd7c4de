//! What several applications for the same works may ask for together (rules 2 and 9, and no product twice).
//!
//! An accepted application *engages* its products for its works. Decisions of ours, as nothing is published:
//! - The same works are: the same obligee, 工事名, contractor (JV名, or 商号 of a single company) and fiscal year in which 工期 begins, and
//!   no two different 工事番号. Texts are compared in [`text::comparison`] form, which looks past widths and spaces, names of companies
//!   with 株式会社 and its abbreviations as one. 工事番号 alone does not name works: 第１号 comes back every year. The contractor is
//!   part of the name, or works of a common name (除雪業務) would let one contractor block another and learn of him.
//! - An advance counts for a fiscal year (of a multi-year contract the one it names), a 契約保証 for the whole contract.
//! - An application counts when it is accepted, before its guarantee is issued: two that are under way at the same time cannot both
//!   slip through. The one that is *stored* first engages, whichever was sent first.
//! - An interim advance is measured as its advance was: by the same kind of base, as a low-price tender or not. The figures are its
//!   own, because a contract price may have been changed since.
//! - Every broken rule is told with the others at once, also where the application is rejected for its own sake.
//! - A 保証契約番号 is told to the system that asked for the guarantee, and to no other.
//!
//! Pure: who holds the row of the works locked meanwhile is the business of `hosho::stages::validate::decide`.

use std::fmt::Write as _;

use chrono::NaiveDate;
use hosho_schema::{
    messages::{BaseV1, CalculationV1, MediumV1, ProductV1},
    money::Yen,
    snapshots::{Application, Certificate, Principal, ProductLine, Works},
};

use super::{
    application::{Judged, counted_year},
    text,
    violation::{self, Breach, Violation, told::Both},
    wareki,
};

/// What an accepted application engages for its works with one product line.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Engagement {
    /// Index of the line within the application.
    pub line: usize,
    /// 商品.
    pub product: ProductV1,
    /// The fiscal year it is for.
    pub year: i32,
    /// 工事番号 in the form it is compared in.
    pub works_number: Option<String>,
    /// 証書の形式.
    pub medium: MediumV1,
    /// 保証金額.
    pub amount: Yen,
    /// What the amount was measured by.
    pub base: BaseV1,
    /// 低入札.
    pub low_price: bool,
}

/// An engagement of an earlier application for the same works, and how far it has come.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Engaged {
    /// What is engaged.
    pub engagement: Engagement,
    /// The upstream system that asked for it.
    pub source: String,
    /// The day it was decided, in Tokyo.
    pub on: NaiveDate,
    /// 保証契約番号, once the guarantee has one.
    pub number: Option<String>,
    /// Whether the guarantee is issued: its certificate has arrived in the registry (rule 6).
    pub issued: bool,
}

impl Engaged {
    /// How a message to `source` names it.
    fn told(&self, source: &str) -> Both {
        let (on_ja, on) = (wareki::format(self.on), self.on);
        match self.number.as_ref().filter(|_| self.source == source) {
            Some(number) => {
                Both { ja: format!("保証契約番号{number}"), en: format!("guarantee {number}") }
            }
            None => Both { ja: format!("{on_ja}受付の申込"), en: format!("application of {on}") },
        }
    }

    /// Whether it may be about the works with this number: two different numbers are two works.
    fn may_be(&self, works_number: Option<&String>) -> bool {
        match (&self.engagement.works_number, works_number) {
            (Some(engaged), Some(asked)) => engaged == asked,
            _ => true,
        }
    }
}

/// Names works: the same text for the same works, and for no others but of another 工事番号.
fn key(obligee: &str, works: &Works, principal: &Principal) -> String {
    let contractor = principal.joint_venture.as_ref().unwrap_or(&principal.company.name);
    let mut key = format!("{obligee}:{}", wareki::fiscal_year(works.from));
    for part in [text::comparison(&works.name), text::company(contractor)] {
        // The length keeps the parts apart, whatever they hold.
        let _ = write!(key, ":{}:{part}", part.len());
    }
    key
}

/// What the lines of an application engage, each with its index in the message.
fn engagements(application: &Application) -> impl Iterator<Item = Engagement> + '_ {
    application.products.iter().enumerate().map(|(line, asked)| engagement(&application.works, line, asked))
}

/// What a certificate that holds engages for its works, and the text that names these.
pub fn of_certificate(certificate: &Certificate) -> (String, Engagement) {
    let Certificate { works, principal, product, medium, amount, this_year_base, .. } = certificate;
    let line = ProductLine {
        product: *product,
        medium: *medium,
        amount: *amount,
        this_year_base: *this_year_base,
        bank: None,
        redeposit: None,
        premium_payment: String::new(),
        bill_to: String::new(),
        calculation_sheet: false,
    };
    let key = key(&certificate.obligee.code, works, principal);
    (key, engagement(works, 0, &line))
}

fn engagement(works: &Works, line: usize, asked: &ProductLine) -> Engagement {
    Engagement {
        line,
        product: asked.product,
        year: year(works, asked),
        works_number: works.number.as_deref().map(text::comparison),
        medium: asked.medium,
        amount: asked.amount,
        base: if asked.this_year_base.is_some() { BaseV1::ThisYearBase } else { BaseV1::ContractPrice },
        low_price: works.low_price,
    }
}

fn year(works: &Works, line: &ProductLine) -> i32 {
    match line.product {
        ProductV1::Performance => wareki::fiscal_year(works.from),
        ProductV1::AdvancePayment | ProductV1::InterimAdvancePayment => counted_year(works),
    }
}

impl Judged {
    /// Names the works; `None` where a field that names them was reported.
    pub fn works_key(&self) -> Option<String> {
        const NAMING: [&str; 6] = [
            "$.obligee",
            "$.works.name",
            "$.works.number",
            "$.works.term.from",
            "$.works.fiscal_year",
            "$.principal.name",
        ];
        let unreadable = |violation: &Violation| NAMING.contains(&violation.path.as_str());
        self.application
            .as_ref()
            .filter(|_| !self.violations.iter().any(unreadable))
            .map(|application| key(&application.obligee, &application.works, &application.principal))
    }

    /// The upstream system that sent it; empty for a message that is no application.
    pub fn source(&self) -> &str {
        self.application.as_ref().map(|application| application.source.as_str()).unwrap_or_default()
    }

    /// What it engages if it is accepted.
    pub fn engages(&self) -> Vec<Engagement> {
        self.application.iter().flat_map(engagements).collect()
    }

    /// Adds how an amount was judged elsewhere.
    pub fn add(&mut self, calculation: CalculationV1, breach: Option<Breach>) {
        self.violations.extend(breach.map(|breach| Violation::new(calculation.path.as_str(), &breach)));
        self.calculations.push(calculation);
    }

    /// Judges it against what earlier applications engaged for the same works.
    pub fn against(&mut self, engaged: &[Engaged]) {
        let asked = self.engages();
        let source = self.source().to_owned();
        let find = |line: &Engagement, product: ProductV1| {
            let fits = |earlier: &&Engaged| {
                earlier.engagement.product == product
                    && earlier.engagement.year == line.year
                    && earlier.may_be(line.works_number.as_ref())
            };
            engaged.iter().find(fits)
        };
        for (line, index) in asked.iter().zip(&self.indices) {
            let at = |field: &str| format!("$.products[{index}].{field}");
            if let Some(earlier) = find(line, line.product) {
                let (field, breach) = again(line, earlier, earlier.told(&source));
                self.violations.push(Violation::new(at(field), &breach));
            }
            if line.product != ProductV1::InterimAdvancePayment {
                continue;
            }
            match find(line, ProductV1::AdvancePayment) {
                None => {
                    self.violations.push(Violation::new(at("product"), &Breach::InterimWithoutAdvance {}))
                }
                Some(advance) if !advance.issued => {
                    let breach = Breach::InterimBeforeAdvanceIssued { earlier: advance.told(&source) };
                    self.violations.push(Violation::new(at("product"), &breach));
                }
                Some(advance) => {
                    let differs = differences(line, &advance.engagement);
                    for (path, what) in differs
                        .into_iter()
                        .map(|(own, field, what)| (if own { at(field) } else { field.to_owned() }, what))
                    {
                        let breach =
                            Breach::InterimDiffersFromAdvance { what, earlier: advance.told(&source) };
                        self.violations.push(Violation::new(path, &breach));
                    }
                    if let Some(total) = self.total.take() {
                        let (calculation, breach) = total.with(advance.engagement.amount);
                        self.violations
                            .extend(breach.map(|breach| Violation::new(calculation.path.as_str(), &breach)));
                        self.calculations.push(calculation);
                    }
                }
            }
        }
        violation::sort(&mut self.violations);
    }
}

/// The same product once more for the same works: with another medium, that is what cannot be (rule 2).
fn again(asked: &Engagement, earlier: &Engaged, told: Both) -> (&'static str, Breach) {
    let product = asked.product;
    if asked.medium == earlier.engagement.medium {
        ("product", Breach::ProductAlreadyApplied { product, earlier: told })
    } else {
        ("medium", Breach::MediumFixed { product, medium: earlier.engagement.medium, earlier: told })
    }
}

/// What an interim advance must share with its advance, or its limits would be those of another contract: a field (of the line or by
/// its whole path) and what differs.
fn differences(interim: &Engagement, advance: &Engagement) -> Vec<(bool, &'static str, Both)> {
    let mut found = Vec::new();
    if interim.base != advance.base {
        let what = Both {
            ja: "今年度対象額の有無".to_owned(),
            en: "whether there is a base of this year".to_owned(),
        };
        found.push((true, "this_year_base", what));
    }
    if interim.low_price != advance.low_price {
        let what = Both {
            ja: "低入札かどうか".to_owned(),
            en: "whether it is a low-price tender".to_owned(),
        };
        found.push((false, "$.works.low_price", what));
    }
    found
}
