//! Judges a requested change of a guarantee.
//!
//! The content after an amendment or a correction is checked as an application for the guarantee's one
//! product.
//!
//! Our decisions:
//! - The other fields of the application (申込送信先, 発注者, 保証料 and so on) stay the same.
//! - The obligee's acceptance of electronic guarantees is not checked again: the guarantee is electronic
//!   already (rule 2).
//! - 発注者 and 取扱箇所 are those of the guarantee. If one of them is no longer configured, the sender is
//!   not at fault.

use hosho_schema::{
    messages::{
        AmendmentReversalV1, AmendmentV1, ApplicationV1, CalculationV1, CancellationV1, ChangeKindV1,
        ContactV1, ContentV1, CorrectionV1, NotificationV1, ProductLineV1, ProductV1,
    },
    money::Yen,
    snapshots::{self, Change, ProductLine},
};

use crate::{
    amendment,
    application::{
        self, Finding, Judged, RuleContext, check_identity,
        form::{Field, FormReader, Section, TextLimit},
    },
    commitment::Commitment,
    number::GuaranteeNumber,
    text,
    violation::{self, Breach, Code, Violation},
};

#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ChangeRequest {
    /// 変更.
    Amendment(AmendmentV1),
    /// 訂正.
    Correction(CorrectionV1),
    /// 変更取消.
    AmendmentReversal(AmendmentReversalV1),
    /// 解約.
    Cancellation(CancellationV1),
}

macro_rules! for_each_kind {
    ($request:expr, $message:ident => $value:expr) => {
        match $request {
            ChangeRequest::Amendment($message) => $value,
            ChangeRequest::Correction($message) => $value,
            ChangeRequest::AmendmentReversal($message) => $value,
            ChangeRequest::Cancellation($message) => $value,
        }
    };
}

impl ChangeRequest {
    pub fn kind(&self) -> ChangeKindV1 {
        for_each_kind!(self, message => message.kind.into())
    }

    pub fn identity(&self) -> (&str, &str) {
        for_each_kind!(self, message => (&message.source, &message.id))
    }

    /// 保証契約番号 as it was sent.
    pub fn guarantee(&self) -> &str {
        for_each_kind!(self, message => &message.guarantee)
    }

    /// 保証契約番号 in its normal form.
    pub fn number(&self) -> Result<String, Violation> {
        GuaranteeNumber::parse(self.guarantee()).map(|number| number.to_string()).map_err(|_| {
            let breach = Breach::GuaranteeMalformed { given: text::quote(self.guarantee()) };
            Violation::new("$.guarantee", &breach)
        })
    }

    /// Orders the changes of one guarantee.
    pub fn version(&self) -> i64 {
        for_each_kind!(self, message => message.version)
    }

    /// Whether the change takes effect at once.
    pub fn urgent(&self) -> bool {
        for_each_kind!(self, message => message.urgent)
    }

    /// The content after an amendment or a correction.
    pub fn after(&self) -> Option<&ContentV1> {
        match self {
            Self::Amendment(message) => Some(&message.after),
            Self::Correction(message) => Some(&message.after),
            Self::AmendmentReversal(_) | Self::Cancellation(_) => None,
        }
    }
}

/// The parts of a guarantee that no change affects.
#[derive(Debug, Clone, Copy)]
pub struct ChangeTarget<'a> {
    /// Code of the branch.
    pub branch: &'a str,
    /// Code of the obligee.
    pub obligee: &'a str,
    /// The product line that the guarantee was issued for.
    pub line: &'a ProductLine,
}

/// A change checked against the rules that need no other application.
#[derive(Clone)]
pub struct JudgedChange {
    /// The content after the change, with violations and paths as in an application.
    content: Option<Judged>,
    /// Violations of the change itself, with paths as in the change.
    own: Vec<Violation>,
    change: Option<Change>,
}

/// Normalises a change and checks every rule that needs no other application.
pub fn judge(request: &ChangeRequest, target: &ChangeTarget<'_>, context: &RuleContext<'_>) -> JudgedChange {
    let mut form = FormReader::new(context.unprintable);
    let (source, id) = request.identity();
    check_identity(&mut form, source, id);
    let judged =
        request.after().map(|after| judge_content(&application(request, after, target, None), context));
    let after = || judged.as_ref().and_then(|after| after.application.clone()).map(Box::new);
    let read_reason = |form: &mut FormReader<'_>, reason: &str| {
        form.required(Field::new(Section::Change, "reason", "理由"), reason, TextLimit::NOTE)
    };
    let change = match request {
        ChangeRequest::Amendment(_) => after().map(|after| Change::Amendment { after }),
        ChangeRequest::Correction(message) => {
            let reason = read_reason(&mut form, &message.reason);
            after().map(|after| Change::Correction { revision: message.revision, reason, after })
        }
        ChangeRequest::AmendmentReversal(message) => {
            let reason = read_reason(&mut form, &message.reason);
            Some(Change::AmendmentReversal { revision: message.revision, reason })
        }
        ChangeRequest::Cancellation(message) => {
            let cause = message.cause;
            let field = Field::new(Section::Change, "cancelled_on", "解約日");
            form.require(field, &message.cancelled_on);
            let cancelled_on = form.date(field, Some(&message.cancelled_on));
            if let Some(breach) = amendment::check_cancellation(cause, message.evidence.as_deref()) {
                form.report("$.evidence", &breach);
            }
            let field = Field::new(Section::Change, "evidence", "発注者の同意を確認できる書面");
            let evidence = form.optional(field, message.evidence.as_deref(), TextLimit::NOTE);
            cancelled_on.map(|cancelled_on| Change::Cancellation { cancelled_on, cause, evidence })
        }
    };
    let (own, _) = form.finish();
    JudgedChange { content: judged, own, change }
}

/// With `interim`, it is for an interim advance of this amount instead.
fn application(
    request: &ChangeRequest,
    after: &ContentV1,
    target: &ChangeTarget<'_>,
    interim: Option<Yen>,
) -> ApplicationV1 {
    let (source, id) = request.identity();
    let ContentV1 { works, principal, product } = after;
    ApplicationV1 {
        source: source.to_owned(),
        id: id.to_owned(),
        branch: target.branch.to_owned(),
        obligee: target.obligee.to_owned(),
        works: works.clone(),
        principal: principal.clone(),
        products: vec![ProductLineV1 {
            product: if interim.is_some() { ProductV1::InterimAdvancePayment } else { target.line.product },
            medium: product.medium,
            amount: interim.map_or_else(|| product.amount.clone(), |amount| amount.0.into()),
            this_year_base: product.this_year_base.clone(),
            bank: product.bank.clone(),
            redeposit: product.redeposit,
            premium_payment: target.line.premium_payment.clone(),
            bill_to: target.line.bill_to.clone(),
            calculation_sheet: target.line.calculation_sheet,
        }],
        notification: NotificationV1 { wanted: false, mail_address: None },
        contact: ContactV1::default(),
    }
}

fn judge_content(application: &ApplicationV1, context: &RuleContext<'_>) -> Judged {
    let mut judged = application::judge(application, context);
    // These rules do not apply to a change, or are checked on the change itself.
    let is_ignored = |code: Code| {
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
    judged.violations.retain(|violation| !is_ignored(violation.code));
    judged
}

/// Checks the total of rule 9 for a changed advance and its interim advance.
pub fn check_total_with_interim(
    request: &ChangeRequest,
    target: &ChangeTarget<'_>,
    interim: Yen,
    context: &RuleContext<'_>,
) -> Option<Finding> {
    let after = request.after().filter(|_| target.line.product == ProductV1::AdvancePayment)?;
    let judged = |interim| judge_content(&application(request, after, target, interim), context);
    let advance = judged(None).application?.products.first()?.amount;
    Some(judged(Some(interim)).total?.check(advance))
}

impl JudgedChange {
    /// The content after the change, for the rules across applications.
    pub fn content(&mut self) -> Option<&mut Judged> {
        self.content.as_mut()
    }

    /// `None` if the change keeps them or a field of the key was reported.
    pub fn works_key(&self) -> Option<String> {
        self.content.as_ref()?.works_key()
    }

    pub fn commitment(&self) -> Option<Commitment> {
        self.content.as_ref()?.commitments().into_iter().next()
    }

    pub fn add_violation(&mut self, violation: Violation) {
        self.own.push(violation);
    }

    /// Returns `"branch"` or `"obligee"` if it is no longer configured.
    pub fn missing_configuration(&self) -> Option<&'static str> {
        self.content.iter().flat_map(|judged| &judged.violations).find_map(|violation| match violation.code {
            Code::BranchUnknown => Some("branch"),
            Code::ObligeeUnknown => Some("obligee"),
            _ => None,
        })
    }

    /// Returns the change if it has no violation.
    pub fn accepted(&self) -> Option<&Change> {
        let accepted = self.own.is_empty() && self.content.as_ref().is_none_or(Judged::is_accepted);
        self.change.as_ref().filter(|_| accepted)
    }

    /// Returns violations and calculations, with the paths of the change.
    pub fn findings(&self) -> (Vec<Violation>, Vec<CalculationV1>) {
        let content = self.content.iter();
        let mut violations: Vec<Violation> = content
            .clone()
            .flat_map(|judged| &judged.violations)
            .map(|violation| Violation { path: path_in_change(&violation.path), ..violation.clone() })
            .chain(self.own.iter().cloned())
            .collect();
        violation::sort(&mut violations);
        let calculations = content
            .flat_map(|judged| &judged.calculations)
            .map(|calculation| CalculationV1 {
                path: path_in_change(&calculation.path),
                ..calculation.clone()
            })
            .collect();
        (violations, calculations)
    }
}

fn path_in_change(path: &str) -> String {
    for (from, to) in [
        // A change has no field for its product. Rules of the product concern its works.
        ("$.products[0].product", "$.after.works"),
        ("$.products[0]", "$.after.product"),
        ("$.works", "$.after.works"),
        ("$.principal", "$.after.principal"),
    ] {
        if let Some(rest) = path.strip_prefix(from) {
            return format!("{to}{rest}");
        }
    }
    path.to_owned()
}

pub fn product_line(application: &snapshots::Application, line: i64) -> Option<&ProductLine> {
    application.products.get(usize::try_from(line).ok()?)
}
