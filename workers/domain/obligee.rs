//! 発注者: where, for what and since when an obligee takes electronic guarantees, and how it wants the notice.
//!
//! An obligee is data. What differs between obligees (rule 1: the day, and the date that is compared with it; the
//! mailbox; the subject) is a value of these types, never a branch in code. The files are read by `crate::obligees`.

use std::collections::BTreeMap;

use chrono::NaiveDate;
use hosho_schema::{
    messages::{ProductV1, WorksKindV1},
    snapshots,
};
use serde::Deserialize;

use super::subject::Subject;

/// Every obligee by its code.
#[derive(Debug, Clone, Default)]
pub struct Registry {
    obligees: BTreeMap<String, Obligee>,
}

impl Registry {
    /// Gathers obligees; of two with the same code the later one stays.
    pub fn new(obligees: impl IntoIterator<Item = Obligee>) -> Self {
        Self { obligees: obligees.into_iter().map(|obligee| (obligee.code.clone(), obligee)).collect() }
    }

    /// The obligee with this code.
    pub fn get(&self, code: &str) -> Option<&Obligee> {
        self.obligees.get(code)
    }

    /// Every obligee, by code.
    pub fn iter(&self) -> impl Iterator<Item = &Obligee> {
        self.obligees.values()
    }
}

/// An ordering party (発注者・被保証者).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Obligee {
    /// Code, as the name of its file.
    pub code: String,
    /// Name of the body, such as 平川市.
    pub name: String,
    /// 職名 shown on the certificate, such as 平川市長.
    pub title: String,
    /// What it takes electronically; a guarantee is taken when one entry fits. Empty: paper only.
    pub electronic: Vec<Acceptance>,
    /// How it wants the notice.
    pub submission: SubmissionRule,
    /// How it wants the notice of single products, in place of `submission`.
    pub submission_of: BTreeMap<ProductV1, SubmissionRule>,
}

/// Products and kinds of works that are taken electronically since a day.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Acceptance {
    /// 商品, at least one.
    pub products: Vec<ProductV1>,
    /// Kinds of works, at least one.
    pub kinds: Vec<WorksKindV1>,
    /// Since when; `None`: no day is published, every contract counts.
    pub start: Option<Start>,
}

/// The first day of electronic guarantees.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Start {
    /// The day itself counts.
    pub on: NaiveDate,
    /// The date of the works that is compared with it.
    pub basis: Basis,
}

/// The date of the works that decides (rule 1).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Basis {
    /// 契約締結日.
    ContractDate,
    /// 公告日.
    Announced,
    /// 公告又は指名日: the 公告日, or the 指名日 where tenderers were designated.
    AnnouncedOrDesignated,
    /// 当初契約日; the 契約締結日 where the contract has not been changed since.
    OriginalContract,
    /// 通知日.
    Notified,
    /// 落札決定日.
    Awarded,
}

impl Basis {
    /// What the date is called.
    pub fn ja(self) -> &'static str {
        match self {
            Self::ContractDate => "契約締結日",
            Self::Announced => "公告日",
            Self::AnnouncedOrDesignated => "公告日又は指名日",
            Self::OriginalContract => "当初契約日",
            Self::Notified => "通知日",
            Self::Awarded => "落札決定日",
        }
    }

    /// The field of an application that holds it.
    pub fn field(self) -> &'static str {
        match self {
            Self::ContractDate => "contract_date",
            Self::Announced | Self::AnnouncedOrDesignated => "announced_on",
            Self::OriginalContract => "original_contract_date",
            Self::Notified => "notified_on",
            Self::Awarded => "awarded_on",
        }
    }
}

/// The dates of the works that an obligee may look at.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Dates {
    /// 請負契約日.
    pub contract: Option<NaiveDate>,
    /// 当初契約日.
    pub original_contract: Option<NaiveDate>,
    /// 公告日.
    pub announced: Option<NaiveDate>,
    /// 指名日.
    pub designated: Option<NaiveDate>,
    /// 通知日.
    pub notified: Option<NaiveDate>,
    /// 落札決定日.
    pub awarded: Option<NaiveDate>,
    /// The day the application came in, where the contract is still to be signed: it is signed that day at the
    /// earliest, so this day is the lower bound of an absent 契約日 of a 契約保証 (a decision of ours).
    pub signed_not_before: Option<NaiveDate>,
}

impl Dates {
    /// The date that counts for a basis.
    pub fn on(&self, basis: Basis) -> Option<NaiveDate> {
        match basis {
            Basis::ContractDate => self.contract.or(self.signed_not_before),
            Basis::Announced => self.announced,
            Basis::AnnouncedOrDesignated => self.announced.or(self.designated),
            Basis::OriginalContract => self.original_contract.or(self.contract).or(self.signed_not_before),
            Basis::Notified => self.notified,
            Basis::Awarded => self.awarded,
        }
    }
}

/// Why an obligee does not take an electronic guarantee.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Refusal {
    /// It takes none.
    PaperOnly,
    /// Not of this product.
    Product,
    /// Not for this kind of works.
    Kind,
    /// The date that counts is absent.
    DateMissing(Start),
    /// The date that counts is before the start.
    TooEarly {
        /// The start.
        start: Start,
        /// The date that counts.
        counted: NaiveDate,
    },
}

impl Obligee {
    /// Whether the obligee takes an electronic guarantee of a product for a kind of works with these dates.
    ///
    /// Of several refusals the one nearest to acceptance is told, by the order of [`Refusal`].
    pub fn accepts(&self, product: ProductV1, kind: WorksKindV1, dates: &Dates) -> Result<(), Refusal> {
        let mut refusal = if self.electronic.is_empty() { Refusal::PaperOnly } else { Refusal::Product };
        for acceptance in self.electronic.iter().filter(|acceptance| acceptance.products.contains(&product)) {
            let found = match acceptance.start {
                _ if !acceptance.kinds.contains(&kind) => Refusal::Kind,
                None => return Ok(()),
                Some(start) => match dates.on(start.basis) {
                    None => Refusal::DateMissing(start),
                    Some(counted) if counted < start.on => Refusal::TooEarly { start, counted },
                    Some(_) => return Ok(()),
                },
            };
            if found.nearness() > refusal.nearness() {
                refusal = found;
            }
        }
        Err(refusal)
    }

    /// How the notice of one product is handed in, with the subject filled in for these works.
    pub fn submission(&self, product: ProductV1, works: &snapshots::Works) -> snapshots::Submission {
        let rule = self.submission_of.get(&product).unwrap_or(&self.submission);
        snapshots::Submission {
            channel: rule.channel,
            department: rule.department.clone(),
            mail_address: rule.mail_address.clone(),
            system: rule.system.clone(),
            subject: rule.subject.as_ref().map(|subject| subject.fill(works)),
        }
    }

    /// The obligee as a certificate keeps it.
    pub fn snapshot(&self, product: ProductV1, works: &snapshots::Works) -> snapshots::Obligee {
        snapshots::Obligee {
            code: self.code.clone(),
            name: self.name.clone(),
            title: self.title.clone(),
            submission: self.submission(product, works),
        }
    }
}

impl Refusal {
    fn nearness(self) -> u8 {
        match self {
            Self::PaperOnly => 0,
            Self::Product => 1,
            Self::Kind => 2,
            Self::DateMissing(_) => 3,
            Self::TooEarly { .. } => 4,
        }
    }
}

/// How an obligee wants the notice.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SubmissionRule {
    /// By mail or by upload.
    pub channel: snapshots::Channel,
    /// 担当部署.
    pub department: Option<String>,
    /// Its mail address; a mail channel without one names a department to ask.
    pub mail_address: Option<String>,
    /// Name of the system, for uploads.
    pub system: Option<String>,
    /// The subject it demands.
    pub subject: Option<Subject>,
}

#[cfg(test)]
mod tests {
    use super::*;

    fn day(year: i32, month: u32, day: u32) -> NaiveDate {
        NaiveDate::from_ymd_opt(year, month, day).unwrap()
    }

    fn obligee(electronic: Vec<Acceptance>) -> Obligee {
        let submission =
            SubmissionRule { channel: snapshots::Channel::Upload, department: None, mail_address: None, system: None, subject: None };
        Obligee {
            code: "x".to_owned(),
            name: "X市".to_owned(),
            title: "X市長".to_owned(),
            electronic,
            submission,
            submission_of: BTreeMap::new(),
        }
    }

    fn works() -> snapshots::Works {
        snapshots::Works {
            name: "a".to_owned(),
            number: None,
            kind: WorksKindV1::Construction,
            contract_price: 1,
            from: day(2026, 4, 1),
            to: day(2026, 4, 2),
            contract_date: None,
            low_price: false,
            fiscal_year: None,
        }
    }

    fn since(kind: WorksKindV1, basis: Basis) -> Acceptance {
        Acceptance { products: vec![ProductV1::AdvancePayment], kinds: vec![kind], start: Some(Start { on: day(2026, 7, 1), basis }) }
    }

    #[test]
    fn each_basis_looks_at_its_own_date() {
        let before = Some(day(2026, 6, 30));
        let on = Some(day(2026, 7, 1));
        let all_before = Dates {
            contract: before,
            original_contract: before,
            announced: before,
            designated: before,
            notified: before,
            awarded: before,
            signed_not_before: None,
        };
        for (basis, dates) in [
            (Basis::ContractDate, Dates { contract: on, ..all_before }),
            (Basis::Announced, Dates { announced: on, ..all_before }),
            (Basis::AnnouncedOrDesignated, Dates { announced: on, ..all_before }),
            (Basis::AnnouncedOrDesignated, Dates { announced: None, designated: on, ..all_before }),
            (Basis::OriginalContract, Dates { original_contract: on, ..all_before }),
            (Basis::OriginalContract, Dates { original_contract: None, contract: on, ..all_before }),
            (Basis::Notified, Dates { notified: on, ..all_before }),
            (Basis::Awarded, Dates { awarded: on, ..all_before }),
            (Basis::ContractDate, Dates { signed_not_before: on, ..Dates::default() }),
            (Basis::OriginalContract, Dates { signed_not_before: on, ..Dates::default() }),
        ] {
            let obligee = obligee(vec![since(WorksKindV1::Construction, basis)]);
            let judge = |dates: &Dates| obligee.accepts(ProductV1::AdvancePayment, WorksKindV1::Construction, dates);
            assert_eq!(judge(&dates), Ok(()), "{basis:?}");
            let start = Start { on: day(2026, 7, 1), basis };
            assert_eq!(judge(&all_before), Err(Refusal::TooEarly { start, counted: day(2026, 6, 30) }), "{basis:?}");
            assert_eq!(judge(&Dates::default()), Err(Refusal::DateMissing(start)), "{basis:?}");
        }
    }

    #[test]
    fn one_fitting_entry_is_enough_and_the_nearest_refusal_is_told() {
        let both = obligee(vec![since(WorksKindV1::Construction, Basis::Awarded), since(WorksKindV1::Design, Basis::Notified)]);
        let dates = Dates { notified: Some(day(2026, 8, 1)), ..Dates::default() };
        assert_eq!(both.accepts(ProductV1::AdvancePayment, WorksKindV1::Design, &dates), Ok(()));
        let start = Start { on: day(2026, 7, 1), basis: Basis::Awarded };
        assert_eq!(both.accepts(ProductV1::AdvancePayment, WorksKindV1::Construction, &dates), Err(Refusal::DateMissing(start)));
        assert_eq!(both.accepts(ProductV1::AdvancePayment, WorksKindV1::Surveying, &dates), Err(Refusal::Kind));
        assert_eq!(both.accepts(ProductV1::Performance, WorksKindV1::Design, &dates), Err(Refusal::Product));
        assert_eq!(obligee(vec![]).accepts(ProductV1::Performance, WorksKindV1::Design, &dates), Err(Refusal::PaperOnly));
    }

    #[test]
    fn a_product_may_have_its_own_submission() {
        let mut obligee = obligee(vec![]);
        let own = SubmissionRule { department: Some("契約課".to_owned()), ..obligee.submission.clone() };
        obligee.submission_of.insert(ProductV1::Performance, own);
        let works = works();
        assert_eq!(obligee.submission(ProductV1::Performance, &works).department.as_deref(), Some("契約課"));
        assert_eq!(obligee.submission(ProductV1::AdvancePayment, &works).department, None);
        assert_eq!(obligee.snapshot(ProductV1::Performance, &works).title, "X市長");
    }
}
