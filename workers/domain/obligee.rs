//! 発注者: where, for what and since when an obligee takes electronic guarantees, and how it wants the notice.
//!
//! An obligee is data. What differs between obligees (rule 1: the day, and the date that is compared with it; rules 8 to 10: its
//! limits; the mailbox; the subject) is a value of these types, never a branch in code. The files are read by `hosho::reference::obligees`.

use std::collections::BTreeMap;

use chrono::NaiveDate;
use hosho_schema::{
    messages::{ProductV1, WorksKindV1},
    snapshots,
};
use serde::{Deserialize, Serialize};

use super::{
    limits::{Limits, Timeline, figures::Origins},
    subject::Subject,
    violation::told::Both,
};

/// Every obligee by its code, and the national limits.
#[derive(Debug, Clone)]
pub struct Registry {
    national: Timeline<Limits>,
    obligees: BTreeMap<String, Obligee>,
    origins: BTreeMap<String, Timeline<Origins>>,
}

impl Registry {
    /// Gathers obligees; of two with the same code the later one stays.
    #[cfg(test)]
    pub(crate) fn new(obligees: impl IntoIterator<Item = Obligee>) -> Self {
        let national = Timeline::always(super::limits::usual());
        Self::under(
            national,
            obligees.into_iter().map(|obligee| (obligee, Timeline::always(Origins::default()))),
        )
    }

    /// Gathers obligees under national limits, each with who says its figures; of two with the same code the later one stays.
    pub fn under(
        national: Timeline<Limits>,
        obligees: impl IntoIterator<Item = (Obligee, Timeline<Origins>)>,
    ) -> Self {
        let mut registry = Self { national, obligees: BTreeMap::new(), origins: BTreeMap::new() };
        for (obligee, origins) in obligees {
            registry.origins.insert(obligee.code.clone(), origins);
            registry.obligees.insert(obligee.code.clone(), obligee);
        }
        registry
    }

    /// The limits where an obligee says nothing of its own.
    pub fn national(&self) -> &Timeline<Limits> {
        &self.national
    }

    /// Who says the figures of the limits of the obligee with this code.
    pub fn origins(&self, code: &str) -> Option<&Timeline<Origins>> {
        self.origins.get(code)
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
    /// What it allows and demands in figures, and since when.
    pub limits: Timeline<Limits>,
    /// The date of the works that decides which limits hold.
    pub limits_basis: Basis,
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
    /// What becomes of contracts older than the start.
    pub older_contracts: OlderContracts,
}

/// What becomes of contracts that are older than an obligee's start (経過措置).
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum OlderContracts {
    /// They stay on paper for good.
    #[default]
    Paper,
    /// They may be electronic as well, from the day of the start on: then the day the application came in counts.
    Electronic,
}

/// The date of the works that decides (rule 1).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
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

    /// What the date is called in English.
    pub fn en(self) -> &'static str {
        match self {
            Self::ContractDate => "contract date",
            Self::Announced => "date of the announcement",
            Self::AnnouncedOrDesignated => "date of the announcement or designation",
            Self::OriginalContract => "date of the original contract",
            Self::Notified => "date of the notification",
            Self::Awarded => "date of the award",
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
    /// The day the application came in.
    pub received: NaiveDate,
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

impl Dates {
    /// What the date that counts for a basis is, in both languages: another one may stand in for it.
    pub fn named(&self, basis: Basis) -> Both {
        let both = |ja: &str, en: &str| Both { ja: ja.to_owned(), en: en.to_owned() };
        let own = || both(Basis::ja(basis), Basis::en(basis));
        match basis {
            Basis::OriginalContract if self.original_contract.is_some() => own(),
            Basis::ContractDate | Basis::OriginalContract if self.contract.is_some() => {
                both("請負契約日", "contract date")
            }
            Basis::ContractDate | Basis::OriginalContract => {
                both("受付日（契約締結前のため）", "day of receipt (the contract is not signed)")
            }
            Basis::AnnouncedOrDesignated if self.announced.is_some() => {
                both("公告日", "date of the announcement")
            }
            Basis::AnnouncedOrDesignated => both("指名日", "date of the designation"),
            _ => own(),
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
                Some(start)
                    if start.older_contracts == OlderContracts::Electronic && dates.received >= start.on =>
                {
                    return Ok(());
                }
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

    /// The limits for works with these dates; the basis whose date is absent when they cannot be known.
    pub fn limits(&self, dates: &Dates) -> Result<&Limits, Basis> {
        match (self.limits.only(), dates.on(self.limits_basis)) {
            (Some(limits), _) => Ok(limits),
            (None, Some(day)) => Ok(self.limits.on(day)),
            (None, None) => Err(self.limits_basis),
        }
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
    use crate::{limits::usual, money::Yen};

    fn day(year: i32, month: u32, day: u32) -> NaiveDate {
        NaiveDate::from_ymd_opt(year, month, day).unwrap()
    }

    fn obligee(electronic: Vec<Acceptance>) -> Obligee {
        let submission = SubmissionRule {
            channel: snapshots::Channel::Upload,
            department: None,
            mail_address: None,
            system: None,
            subject: None,
        };
        Obligee {
            code: "x".to_owned(),
            name: "X市".to_owned(),
            title: "X市長".to_owned(),
            electronic,
            limits: Timeline::always(usual()),
            limits_basis: Basis::OriginalContract,
            submission,
            submission_of: BTreeMap::new(),
        }
    }

    fn works() -> snapshots::Works {
        snapshots::Works {
            name: "a".to_owned(),
            number: None,
            kind: WorksKindV1::Construction,
            contract_price: Yen(1),
            from: day(2026, 4, 1),
            to: day(2026, 4, 2),
            contract_date: None,
            low_price: false,
            fiscal_year: None,
        }
    }

    fn since(kind: WorksKindV1, basis: Basis) -> Acceptance {
        Acceptance {
            products: vec![ProductV1::AdvancePayment],
            kinds: vec![kind],
            start: Some(Start { on: day(2026, 7, 1), basis, older_contracts: OlderContracts::Paper }),
        }
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
            received: day(2026, 6, 1),
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
            let judge =
                |dates: &Dates| obligee.accepts(ProductV1::AdvancePayment, WorksKindV1::Construction, dates);
            assert_eq!(judge(&dates), Ok(()), "{basis:?}");
            let start = Start { on: day(2026, 7, 1), basis, older_contracts: OlderContracts::Paper };
            assert_eq!(
                judge(&all_before),
                Err(Refusal::TooEarly { start, counted: day(2026, 6, 30) }),
                "{basis:?}"
            );
            assert_eq!(judge(&Dates::default()), Err(Refusal::DateMissing(start)), "{basis:?}");
        }
    }

    #[test]
    fn older_contracts_follow_when_the_obligee_lets_them() {
        let start = Start {
            on: day(2026, 7, 1),
            basis: Basis::ContractDate,
            older_contracts: OlderContracts::Electronic,
        };
        let lenient = obligee(vec![Acceptance {
            products: vec![ProductV1::AdvancePayment],
            kinds: vec![WorksKindV1::Construction],
            start: Some(start),
        }]);
        let judge = |received| {
            let dates = Dates { contract: Some(day(2026, 4, 1)), received, ..Dates::default() };
            lenient.accepts(ProductV1::AdvancePayment, WorksKindV1::Construction, &dates)
        };
        assert_eq!(judge(day(2026, 7, 1)), Ok(()));
        assert_eq!(judge(day(2026, 6, 30)), Err(Refusal::TooEarly { start, counted: day(2026, 4, 1) }));
    }

    #[test]
    fn limits_are_those_of_the_day_that_counts() {
        let mut strict = obligee(vec![]);
        assert_eq!(strict.limits(&Dates::default()), Ok(&usual()));
        let mut later = usual();
        later.advance.maximum = Some(Yen(5));
        strict.limits.then(day(2026, 4, 1), later.clone()).unwrap();
        let on = |contract, original| Dates {
            contract: Some(contract),
            original_contract: original,
            ..Dates::default()
        };
        assert_eq!(strict.limits(&on(day(2026, 4, 1), None)), Ok(&later));
        assert_eq!(strict.limits(&on(day(2026, 3, 31), None)), Ok(&usual()));
        // A contract that was changed since keeps the limits of its first day.
        assert_eq!(strict.limits(&on(day(2026, 4, 1), Some(day(2026, 3, 31)))), Ok(&usual()));
        assert_eq!(strict.limits(&Dates::default()), Err(Basis::OriginalContract));
        strict.limits_basis = Basis::Announced;
        assert_eq!(strict.limits(&on(day(2026, 4, 1), None)), Err(Basis::Announced));
    }

    #[test]
    fn one_fitting_entry_is_enough_and_the_nearest_refusal_is_told() {
        let both = obligee(vec![
            since(WorksKindV1::Construction, Basis::Awarded),
            since(WorksKindV1::Design, Basis::Notified),
        ]);
        let dates = Dates { notified: Some(day(2026, 8, 1)), ..Dates::default() };
        assert_eq!(both.accepts(ProductV1::AdvancePayment, WorksKindV1::Design, &dates), Ok(()));
        let start =
            Start { on: day(2026, 7, 1), basis: Basis::Awarded, older_contracts: OlderContracts::Paper };
        assert_eq!(
            both.accepts(ProductV1::AdvancePayment, WorksKindV1::Construction, &dates),
            Err(Refusal::DateMissing(start))
        );
        assert_eq!(
            both.accepts(ProductV1::AdvancePayment, WorksKindV1::Surveying, &dates),
            Err(Refusal::Kind)
        );
        assert_eq!(both.accepts(ProductV1::Performance, WorksKindV1::Design, &dates), Err(Refusal::Product));
        assert_eq!(
            obligee(vec![]).accepts(ProductV1::Performance, WorksKindV1::Design, &dates),
            Err(Refusal::PaperOnly)
        );
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
