//! Judges a change of a guarantee by itself: the content after an amendment or a correction is held to the rules of an application for
//! its one product, on the new figures.
//!
//! Decisions of ours:
//! - What an application says besides (申込送信先, 発注者, 保証料 and so on) stays as it was.
//! - Whether the obligee takes electronic guarantees is not asked again: the guarantee is one already (rule 2).
//! - 発注者 and 取扱箇所 are those of the guarantee; when one of them is configured no more, that is no fault of the sender.

use hosho_schema::{
    messages::{
        AmendmentReversalV1, AmendmentV1, ApplicationV1, CalculationV1, CancellationV1, ChangeKindV1,
        ContactV1, ContentV1, CorrectionV1, NotificationV1, ProductLineV1, ProductV1,
    },
    money::Yen,
    snapshots::{self, Change, ProductLine},
};

use super::{
    Facts, Field, Form, IDENTIFIER, Limit, Total, amounts::Finding, form::Place, is_identifier,
    judge as judge_application, text,
};
use crate::{
    amendment, engagement,
    violation::{self, Breach, Code, Violation},
};

/// A change as it came.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Wire {
    /// 変更.
    Amendment(AmendmentV1),
    /// 訂正.
    Correction(CorrectionV1),
    /// 変更取消.
    AmendmentReversal(AmendmentReversalV1),
    /// 解約.
    Cancellation(CancellationV1),
}

macro_rules! of_all {
    ($wire:expr, $message:ident => $value:expr) => {
        match $wire {
            Wire::Amendment($message) => $value,
            Wire::Correction($message) => $value,
            Wire::AmendmentReversal($message) => $value,
            Wire::Cancellation($message) => $value,
        }
    };
}

impl Wire {
    /// What it is.
    pub fn kind(&self) -> ChangeKindV1 {
        of_all!(self, message => message.kind.into())
    }

    /// `source` and `id`.
    pub fn identity(&self) -> (&str, &str) {
        of_all!(self, message => (&message.source, &message.id))
    }

    /// 保証契約番号 as it was given.
    pub fn guarantee(&self) -> &str {
        of_all!(self, message => &message.guarantee)
    }

    /// Its place among the changes of the guarantee.
    pub fn version(&self) -> i64 {
        of_all!(self, message => message.version)
    }

    /// Whether it takes effect at once.
    pub fn urgent(&self) -> bool {
        of_all!(self, message => message.urgent)
    }

    /// The content after it.
    pub fn after(&self) -> Option<&ContentV1> {
        match self {
            Self::Amendment(message) => Some(&message.after),
            Self::Correction(message) => Some(&message.after),
            Self::AmendmentReversal(_) | Self::Cancellation(_) => None,
        }
    }
}

/// The guarantee that is to be changed: what stays as it was.
#[derive(Debug, Clone, Copy)]
pub struct Subject<'a> {
    /// Code of the branch.
    pub branch: &'a str,
    /// Code of the obligee.
    pub obligee: &'a str,
    /// The product line it was issued for.
    pub line: &'a ProductLine,
}

/// A change as far as it can be judged by itself.
#[derive(Clone)]
pub struct Judged {
    /// The content after it as an application for one product; its violations are in the terms of an application.
    content: Option<super::Judged>,
    /// What is wrong with the change itself, in its own terms.
    own: Vec<Violation>,
    change: Option<Change>,
}

/// Normalises a change and finds every rule it breaks by itself.
pub fn judge(wire: &Wire, subject: &Subject<'_>, facts: &Facts<'_>) -> Judged {
    let mut form = Form::new(facts.unprintable);
    let (source, id) = wire.identity();
    if !is_identifier(source) {
        form.report("$.source", &Breach::SourceMalformed { most: IDENTIFIER });
    }
    if !is_identifier(id) {
        form.report("$.id", &Breach::IdMalformed { most: IDENTIFIER });
    }
    let content = wire.after().map(|after| content(&application(wire, after, subject, None), facts));
    let after = || content.as_ref().and_then(|judged| judged.application.clone()).map(Box::new);
    let reason = |form: &mut Form<'_>, reason: &str| {
        form.required(Field::new(Place::Change, "reason", "理由"), reason, Limit::NOTE)
    };
    let change = match wire {
        Wire::Amendment(_) => after().map(|after| Change::Amendment { after }),
        Wire::Correction(message) => {
            let reason = reason(&mut form, &message.reason);
            after().map(|after| Change::Correction { revision: message.revision, reason, after })
        }
        Wire::AmendmentReversal(message) => {
            let reason = reason(&mut form, &message.reason);
            Some(Change::AmendmentReversal { revision: message.revision, reason })
        }
        Wire::Cancellation(message) => {
            let field = Field::new(Place::Change, "cancelled_on", "解約日");
            form.present(field, &message.cancelled_on);
            let cancelled_on = form.date(field, Some(&message.cancelled_on));
            if let Some(breach) = amendment::cancellation(message.cause, message.evidence.as_deref()) {
                form.report("$.evidence", &breach);
            }
            let evidence = Field::new(Place::Change, "evidence", "発注者の同意を確認できる書面");
            let evidence = form.optional(evidence, message.evidence.as_deref(), Limit::NOTE);
            cancelled_on.map(|cancelled_on| Change::Cancellation {
                cancelled_on,
                cause: message.cause,
                evidence,
            })
        }
    };
    let (own, _) = form.finish();
    Judged { content, own, change }
}

/// The content after a change as an application for its one product; for `interim`, for an interim advance of that amount instead.
fn application(wire: &Wire, after: &ContentV1, subject: &Subject<'_>, interim: Option<Yen>) -> ApplicationV1 {
    let (source, id) = wire.identity();
    let ContentV1 { works, principal, product } = after;
    ApplicationV1 {
        source: source.to_owned(),
        id: id.to_owned(),
        branch: subject.branch.to_owned(),
        obligee: subject.obligee.to_owned(),
        works: works.clone(),
        principal: principal.clone(),
        products: vec![ProductLineV1 {
            product: if interim.is_some() { ProductV1::InterimAdvancePayment } else { subject.line.product },
            medium: product.medium,
            amount: interim.map_or_else(|| product.amount.clone(), |amount| amount.0.into()),
            this_year_base: product.this_year_base.clone(),
            bank: product.bank.clone(),
            redeposit: product.redeposit,
            premium_payment: subject.line.premium_payment.clone(),
            bill_to: subject.line.bill_to.clone(),
            calculation_sheet: subject.line.calculation_sheet,
        }],
        notification: NotificationV1 { wanted: false, mail_address: None },
        contact: ContactV1::default(),
    }
}

fn content(application: &ApplicationV1, facts: &Facts<'_>) -> super::Judged {
    let mut judged = judge_application(application, facts);
    // Not asked again, or told already.
    let settled = |code: Code| {
        matches!(
            code,
            Code::ObligeeNotElectronic
                | Code::ObligeeProductNotAccepted
                | Code::ObligeeKindNotAccepted
                | Code::ObligeeNotYetElectronic
                | Code::SourceMalformed
                | Code::IdMalformed
        )
    };
    judged.violations.retain(|violation| !settled(violation.code));
    judged
}

/// What rule 9 says of an advance that is changed while there is an interim advance of this amount: the total, and what is wrong with it.
pub fn total_with_interim(
    wire: &Wire,
    subject: &Subject<'_>,
    interim: Yen,
    facts: &Facts<'_>,
) -> Option<Finding> {
    let after = wire.after().filter(|_| subject.line.product == ProductV1::AdvancePayment)?;
    let advance =
        content(&application(wire, after, subject, None), facts).application?.products.first()?.amount;
    let total: Total = content(&application(wire, after, subject, Some(interim)), facts).total?;
    Some(total.with(advance))
}

impl Judged {
    /// The content after it as rules across applications see it; for them to add to.
    pub fn content(&mut self) -> Option<&mut super::Judged> {
        self.content.as_mut()
    }

    /// Names the works after it; `None` where they stay or could not be read.
    pub fn works_key(&self) -> Option<String> {
        self.content.as_ref()?.works_key()
    }

    /// What it engages for the works after it.
    pub fn engages(&self) -> Option<engagement::Engagement> {
        self.content.as_ref()?.engages().into_iter().next()
    }

    /// Reports what was found elsewhere, in the terms of a change.
    pub fn report(&mut self, violation: Violation) {
        self.own.push(violation);
    }

    /// The code of the obligee or branch that is configured no more.
    pub fn gone(&self) -> Option<&'static str> {
        self.content.iter().flat_map(|judged| &judged.violations).find_map(|violation| match violation.code {
            Code::BranchUnknown => Some("branch"),
            Code::ObligeeUnknown => Some("obligee"),
            _ => None,
        })
    }

    /// The change where nothing was reported so far.
    pub fn kept(&self) -> Option<&Change> {
        let kept = self.own.is_empty() && self.content.as_ref().is_none_or(super::Judged::is_kept);
        self.change.as_ref().filter(|_| kept)
    }

    /// Every broken rule in the order of the form, in the terms of a change, and how amounts were judged.
    pub fn told(&self) -> (Vec<Violation>, Vec<CalculationV1>) {
        let content = self.content.iter();
        let mut violations: Vec<Violation> = content
            .clone()
            .flat_map(|judged| &judged.violations)
            .map(|violation| Violation { path: path(&violation.path), ..violation.clone() })
            .chain(self.own.iter().cloned())
            .collect();
        violation::sort(&mut violations);
        let calculations = content.flat_map(|judged| &judged.calculations);
        (
            violations,
            calculations
                .map(|calculation| CalculationV1 { path: path(&calculation.path), ..calculation.clone() })
                .collect(),
        )
    }
}

/// A path of an application as it stands in a change.
fn path(of_application: &str) -> String {
    for (from, to) in [
        // The product itself is no field of a change: it is the works that are taken.
        ("$.products[0].product", "$.after.works"),
        ("$.products[0]", "$.after.product"),
        ("$.works", "$.after.works"),
        ("$.principal", "$.after.principal"),
    ] {
        if let Some(rest) = of_application.strip_prefix(from) {
            return format!("{to}{rest}");
        }
    }
    of_application.to_owned()
}

/// The guarantee number of a change in its normal form.
pub fn number(wire: &Wire) -> Result<String, Violation> {
    crate::number::GuaranteeNumber::parse(wire.guarantee()).map(|number| number.to_string()).map_err(|_| {
        Violation::new("$.guarantee", &Breach::GuaranteeMalformed { given: text::quote(wire.guarantee()) })
    })
}

/// The product line that a guarantee was issued for.
pub fn line(application: &snapshots::Application, line: i64) -> Option<&ProductLine> {
    application.products.get(usize::try_from(line).ok()?)
}
