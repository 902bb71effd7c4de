//! Obligees (発注者): accepted electronic guarantees, limits, submission of notices.
//!
//! An obligee is data. The differences between obligees are values of these types, never branches in code:
//! the start of electronic guarantees and the date compared with it (rule 1), the limits (rules 8 to 10), the
//! mailbox and the subject. `hosho::reference::obligees` reads the files.

use std::collections::BTreeMap;

use chrono::NaiveDate;
use hosho_schema::{
    messages::{ProductV1, WorksKindV1},
    snapshots,
};
use serde::{Deserialize, Serialize};

use crate::{
    bilingual::{Bilingual, BilingualText, bilingual_text},
    limits::{Limits, Timeline, fields::Origins},
    mail_subject::MailSubject,
};

#[derive(Debug, Clone)]
pub struct Registry {
    national: Timeline<Limits>,
    obligees: BTreeMap<String, (Obligee, Timeline<Origins>)>,
}

impl Registry {
    /// A registry of obligees under the default limits.
    #[cfg(test)]
    pub(crate) fn new(obligees: impl IntoIterator<Item = Obligee>) -> Self {
        let national = Timeline::always(crate::limits::default_limits());
        Self::with_national(
            national,
            obligees.into_iter().map(|obligee| (obligee, Timeline::always(Origins::default()))),
        )
    }

    /// Of two with the same code, the later one replaces the earlier.
    pub fn with_national(
        national: Timeline<Limits>,
        obligees: impl IntoIterator<Item = (Obligee, Timeline<Origins>)>,
    ) -> Self {
        let by_code = |(obligee, origins): (Obligee, _)| (obligee.code.clone(), (obligee, origins));
        Self { national, obligees: obligees.into_iter().map(by_code).collect() }
    }

    /// The limits that an obligee's own values override.
    pub fn national(&self) -> &Timeline<Limits> {
        &self.national
    }

    pub fn origins(&self, code: &str) -> Option<&Timeline<Origins>> {
        self.obligees.get(code).map(|(_, origins)| origins)
    }

    pub fn get(&self, code: &str) -> Option<&Obligee> {
        self.obligees.get(code).map(|(obligee, _)| obligee)
    }

    pub fn iter(&self) -> impl Iterator<Item = &Obligee> {
        self.obligees.values().map(|(obligee, _)| obligee)
    }
}

/// An ordering party (発注者・被保証者).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Obligee {
    /// Also the name of its file.
    pub code: String,
    /// Name of the body, such as 平川市.
    pub name: String,
    /// 職名 shown on the certificate, such as 平川市長.
    pub title: String,
    /// An electronic guarantee needs one matching entry. Empty: paper only.
    pub electronic: Vec<Acceptance>,
    pub limits: Timeline<Limits>,
    /// The date of the works that selects the period of the limits.
    pub limits_basis: Basis,
    pub submission: SubmissionRule,
    /// Replaces `submission` for single products.
    pub submission_of: BTreeMap<ProductV1, SubmissionRule>,
}

/// Products and kinds of works that are accepted electronically from a day on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Acceptance {
    /// 商品, at least one.
    pub products: Vec<ProductV1>,
    /// Kinds of works, at least one.
    pub kinds: Vec<WorksKindV1>,
    /// `None`: no day is published, so every contract is accepted.
    pub start: Option<Start>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Start {
    /// The day itself is included.
    pub on: NaiveDate,
    /// The date of the works that is compared with it.
    pub basis: Basis,
    pub older_contracts: OlderContracts,
}

/// The transitional rule (経過措置) for contracts older than the start.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum OlderContracts {
    #[default]
    Paper,
    /// Electronic too, if the application is received on or after the start.
    Electronic,
}

/// The date of the works that is compared (rule 1).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Basis {
    ContractDate,
    Announced,
    /// 公告又は指名日: the 公告日, or the 指名日 if tenderers were designated.
    AnnouncedOrDesignated,
    /// 当初契約日, or the 契約締結日 if the contract has not been changed.
    OriginalContract,
    Notified,
    Awarded,
}

impl Basis {
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

bilingual_text! {
    Basis: basis => Basis::ja(*basis), Basis::en(*basis);
}

#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Dates {
    pub contract: Option<NaiveDate>,
    pub original_contract: Option<NaiveDate>,
    pub announced: Option<NaiveDate>,
    pub designated: Option<NaiveDate>,
    pub notified: Option<NaiveDate>,
    pub awarded: Option<NaiveDate>,
    /// The day of receipt, if the contract is not signed yet.
    /// It is signed that day at the earliest: a lower bound of the 契約日 of a 契約保証 (our decision).
    pub signed_not_before: Option<NaiveDate>,
    pub received: NaiveDate,
}

impl Dates {
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

    /// Names the date that [`on`](Self::on) returns, which can be a substitute.
    pub fn label(&self, basis: Basis) -> Bilingual {
        let (ja, en) = match basis {
            Basis::OriginalContract if self.original_contract.is_some() => (basis.ja(), basis.en()),
            Basis::ContractDate | Basis::OriginalContract if self.contract.is_some() => {
                ("請負契約日", "contract date")
            }
            Basis::ContractDate | Basis::OriginalContract => {
                ("受付日（契約締結前のため）", "day of receipt (the contract is not signed)")
            }
            Basis::AnnouncedOrDesignated if self.announced.is_some() => {
                ("公告日", "date of the announcement")
            }
            Basis::AnnouncedOrDesignated => ("指名日", "date of the designation"),
            Basis::Announced | Basis::Notified | Basis::Awarded => (basis.ja(), basis.en()),
        };
        Bilingual::new(ja, en)
    }
}

/// Why an obligee rejects an electronic guarantee, the least specific first.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Refusal {
    PaperOnly,
    Product,
    Kind,
    DateMissing(Start),
    TooEarly { start: Start, counted: NaiveDate },
}

impl Obligee {
    /// Of several refusals, returns the most specific one.
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
            if found.specificity() > refusal.specificity() {
                refusal = found;
            }
        }
        Err(refusal)
    }

    /// The error is the basis whose date is needed and absent.
    pub fn limits(&self, dates: &Dates) -> Result<&Limits, Basis> {
        match (self.limits.only(), dates.on(self.limits_basis)) {
            (Some(limits), _) => Ok(limits),
            (None, Some(day)) => Ok(self.limits.on(day)),
            (None, None) => Err(self.limits_basis),
        }
    }

    /// The obligee with its submission of a product's notice, the subject filled in.
    pub fn snapshot(&self, product: ProductV1, works: &snapshots::Works) -> snapshots::Obligee {
        let rule = self.submission_of.get(&product).unwrap_or(&self.submission);
        snapshots::Obligee {
            code: self.code.clone(),
            name: self.name.clone(),
            title: self.title.clone(),
            submission: snapshots::Submission {
                channel: rule.channel,
                department: rule.department.clone(),
                mail_address: rule.mail_address.clone(),
                system: rule.system.clone(),
                subject: rule.subject.as_ref().map(|subject| subject.fill(works)),
            },
        }
    }
}

impl Refusal {
    fn specificity(self) -> u8 {
        match self {
            Self::PaperOnly => 0,
            Self::Product => 1,
            Self::Kind => 2,
            Self::DateMissing(_) => 3,
            Self::TooEarly { .. } => 4,
        }
    }
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SubmissionRule {
    pub channel: snapshots::Channel,
    pub department: Option<String>,
    /// A mail channel without an address names a department that gives one.
    pub mail_address: Option<String>,
    /// The contract system, for uploads.
    pub system: Option<String>,
    pub subject: Option<MailSubject>,
}

#[cfg(test)]
mod tests {
    use hosho_schema::money::Yen;

    use super::*;
    use crate::limits::default_limits;

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
            limits: Timeline::always(default_limits()),
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
    fn compares_the_date_of_each_basis() {
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
    fn accepts_older_contracts_under_the_transitional_rule() {
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
    fn returns_the_limits_of_the_basis_date() {
        let mut strict = obligee(vec![]);
        assert_eq!(strict.limits(&Dates::default()), Ok(&default_limits()));
        let mut later = default_limits();
        later.advance.maximum = Some(Yen(5));
        strict.limits.push(day(2026, 4, 1), later.clone()).unwrap();
        let on = |contract, original| Dates {
            contract: Some(contract),
            original_contract: original,
            ..Dates::default()
        };
        assert_eq!(strict.limits(&on(day(2026, 4, 1), None)), Ok(&later));
        assert_eq!(strict.limits(&on(day(2026, 3, 31), None)), Ok(&default_limits()));
        // A changed contract keeps the limits of its original day.
        assert_eq!(strict.limits(&on(day(2026, 4, 1), Some(day(2026, 3, 31)))), Ok(&default_limits()));
        assert_eq!(strict.limits(&Dates::default()), Err(Basis::OriginalContract));
        strict.limits_basis = Basis::Announced;
        assert_eq!(strict.limits(&on(day(2026, 4, 1), None)), Err(Basis::Announced));
    }

    #[test]
    fn returns_the_most_specific_refusal() {
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
    fn uses_the_submission_rule_of_the_product() {
        let mut obligee = obligee(vec![]);
        let own = SubmissionRule { department: Some("契約課".to_owned()), ..obligee.submission.clone() };
        obligee.submission_of.insert(ProductV1::Performance, own);
        let works = works();
        let department = |product| obligee.snapshot(product, &works).submission.department;
        assert_eq!(department(ProductV1::Performance).as_deref(), Some("契約課"));
        assert_eq!(department(ProductV1::AdvancePayment), None);
        assert_eq!(obligee.snapshot(ProductV1::Performance, &works).title, "X市長");
    }
}
