//! Rules across applications for the same works (rules 2 and 9).
//!
//! An accepted application commits its products for its works. Our decisions, as nothing is published:
//! - Applications are for the same works if they agree on obligee, 工事名, contractor (JV名, or 商号 of a
//!   single company) and first fiscal year of 工期, and do not have two different 工事番号. Names are
//!   compared by their [`text::comparison_key`], which ignores widths and spaces; 株式会社 and its
//!   abbreviations are equal.
//! - 工事番号 alone does not identify works: 第１号 is reused every year. The contractor is part of the key.
//!   Otherwise, for works with a common name (除雪業務), one contractor could block another one and learn of
//!   its application.
//! - An advance is committed for a fiscal year (of a multi-year contract, the year it names), a 契約保証 for
//!   the whole contract.
//! - An application commits when it is accepted, before its guarantee is issued. Otherwise two concurrent
//!   applications could both be accepted. The application that is *stored* first commits, in whatever order
//!   they were sent.
//! - An interim advance has the same kind of base as its advance, and both are low-price tenders or neither
//!   is. The amounts are its own, because the contract price may have changed.
//! - All violations are reported together, even if the application would be rejected without them.
//! - A 保証契約番号 is disclosed only to the source that applied for the guarantee.
//!
//! Pure: `hosho::stages::validate` locks the row of the works.

use std::fmt::Write as _;

use chrono::NaiveDate;
use hosho_schema::{
    messages::{BaseV1, MediumV1, ProductV1},
    money::Yen,
    snapshots::{Application, Certificate, Principal, Works},
};

use crate::{
    application::{Finding, Judged, counted_year},
    bilingual::Bilingual,
    text,
    violation::{self, Breach, Violation},
    wareki,
};

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Commitment {
    /// Index of the line within the application.
    pub line: usize,
    pub product: ProductV1,
    pub year: i32,
    /// Comparison key of 工事番号.
    pub works_number: Option<String>,
    pub medium: MediumV1,
    pub amount: Yen,
    /// The base that the amount was limited by.
    pub base: BaseV1,
    pub low_price: bool,
}

/// A commitment of an earlier application, and the state of its guarantee.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OpenCommitment {
    pub commitment: Commitment,
    /// The upstream system that sent the application.
    pub source: String,
    /// The day of the decision in Tokyo.
    pub on: NaiveDate,
    /// 保証契約番号, once it is allocated.
    pub number: Option<String>,
    /// Whether the certificate has arrived in the registry (rule 6).
    pub issued: bool,
}

impl OpenCommitment {
    /// Names the guarantee in a message: to its own source by number, else by day.
    fn label(&self, source: &str) -> Bilingual {
        match self.number.as_ref().filter(|_| self.source == source) {
            Some(number) => Bilingual::guarantee(number),
            None => Bilingual::new(
                format!("{}受付の申込", wareki::format(self.on)),
                format!("application of {}", self.on),
            ),
        }
    }

    /// Two different numbers denote different works; an absent number matches any.
    fn matches_number(&self, works_number: Option<&String>) -> bool {
        match (&self.commitment.works_number, works_number) {
            (Some(committed), Some(requested)) => committed == requested,
            _ => true,
        }
    }
}

/// Returns the key of works. Works with the same key differ in 工事番号 at most.
fn works_key(obligee: &str, works: &Works, principal: &Principal) -> String {
    let contractor = principal.joint_venture.as_ref().unwrap_or(&principal.company.name);
    let mut key = format!("{obligee}:{}", wareki::fiscal_year(works.from));
    for part in [text::comparison_key(&works.name), text::company_key(contractor)] {
        // The length separates the parts, whatever they contain.
        let _ = write!(key, ":{}:{part}", part.len());
    }
    key
}

fn commitments(application: &Application) -> impl Iterator<Item = Commitment> + '_ {
    application.products.iter().enumerate().map(|(index, line)| {
        commitment(&application.works, index, line.product, line.medium, line.amount, line.this_year_base)
    })
}

pub fn of_certificate(certificate: &Certificate) -> (String, Commitment) {
    let Certificate { works, principal, product, medium, amount, this_year_base, .. } = certificate;
    let key = works_key(&certificate.obligee.code, works, principal);
    (key, commitment(works, 0, *product, *medium, *amount, *this_year_base))
}

fn commitment(
    works: &Works,
    line: usize,
    product: ProductV1,
    medium: MediumV1,
    amount: Yen,
    this_year_base: Option<Yen>,
) -> Commitment {
    Commitment {
        line,
        product,
        year: match product {
            ProductV1::Performance => wareki::fiscal_year(works.from),
            ProductV1::AdvancePayment | ProductV1::InterimAdvancePayment => counted_year(works),
        },
        works_number: works.number.as_deref().map(text::comparison_key),
        medium,
        amount,
        base: if this_year_base.is_some() { BaseV1::ThisYearBase } else { BaseV1::ContractPrice },
        low_price: works.low_price,
    }
}

impl Judged {
    /// Returns the key of the works; `None` if a field of the key was reported.
    pub fn works_key(&self) -> Option<String> {
        const KEY_FIELDS: [&str; 6] = [
            "$.obligee",
            "$.works.name",
            "$.works.number",
            "$.works.term.from",
            "$.works.fiscal_year",
            "$.principal.name",
        ];
        let is_key_field = |violation: &Violation| KEY_FIELDS.contains(&violation.path.as_str());
        self.application
            .as_ref()
            .filter(|_| !self.violations.iter().any(is_key_field))
            .map(|application| works_key(&application.obligee, &application.works, &application.principal))
    }

    /// The upstream system; empty for a message that cannot be decoded.
    pub fn source(&self) -> &str {
        self.application.as_ref().map(|application| application.source.as_str()).unwrap_or_default()
    }

    pub fn commitments(&self) -> Vec<Commitment> {
        self.application.iter().flat_map(commitments).collect()
    }

    pub fn add(&mut self, (calculation, breach): Finding) {
        self.violations.extend(breach.map(|breach| Violation::new(calculation.path.as_str(), &breach)));
        self.calculations.push(calculation);
    }

    /// Checks the application against the open commitments for the same works.
    pub fn check_against(&mut self, open: &[OpenCommitment]) {
        let commitments = self.commitments();
        let source = self.source().to_owned();
        let find = |line: &Commitment, product: ProductV1| {
            let matches = |earlier: &&OpenCommitment| {
                earlier.commitment.product == product
                    && earlier.commitment.year == line.year
                    && earlier.matches_number(line.works_number.as_ref())
            };
            open.iter().find(matches)
        };
        let indices = std::mem::take(&mut self.indices);
        for (line, index) in commitments.iter().zip(&indices) {
            let at = |field: &str| format!("$.products[{index}].{field}");
            if let Some(earlier) = find(line, line.product) {
                let (field, breach) = check_repeated(line, earlier, earlier.label(&source));
                self.violations.push(Violation::new(at(field), &breach));
            }
            if line.product != ProductV1::InterimAdvancePayment {
                continue;
            }
            let Some(advance) = find(line, ProductV1::AdvancePayment) else {
                self.violations.push(Violation::new(at("product"), &Breach::InterimWithoutAdvance {}));
                continue;
            };
            let earlier = advance.label(&source);
            if !advance.issued {
                let breach = Breach::InterimBeforeAdvanceIssued { earlier };
                self.violations.push(Violation::new(at("product"), &breach));
                continue;
            }
            if line.base != advance.commitment.base {
                let what = Bilingual::new("今年度対象額の有無", "whether there is a base of this year");
                let breach = Breach::InterimDiffersFromAdvance { what, earlier: earlier.clone() };
                self.violations.push(Violation::new(at("this_year_base"), &breach));
            }
            if line.low_price != advance.commitment.low_price {
                let what = Bilingual::new("低入札かどうか", "whether it is a low-price tender");
                let breach = Breach::InterimDiffersFromAdvance { what, earlier };
                self.violations.push(Violation::new("$.works.low_price", &breach));
            }
            if let Some(total) = self.total.take() {
                self.add(total.check(advance.commitment.amount));
            }
        }
        self.indices = indices;
        violation::sort(&mut self.violations);
    }
}

/// The same product for the same works: in another medium, it breaks rule 2.
fn check_repeated(line: &Commitment, earlier: &OpenCommitment, label: Bilingual) -> (&'static str, Breach) {
    let (product, medium) = (line.product, earlier.commitment.medium);
    if line.medium == medium {
        ("product", Breach::ProductAlreadyApplied { product, earlier: label })
    } else {
        ("medium", Breach::MediumFixed { product, medium, earlier: label })
    }
}
