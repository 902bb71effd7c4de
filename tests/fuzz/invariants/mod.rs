//! Invariants of every payload.
//!
//! Shared by the fuzzer (`make fuzz`) and by `tests/it/fuzz.rs`, which checks them for the seeds and for all
//! regressions.
//!
//! A broken invariant panics. The rules run with the facts of the validate stage: the built-in obligees and
//! branches (and one more obligee), the glyphs of the installed fonts, the mail addresses that lettre
//! accepts.

mod texts;

use std::{collections::BTreeSet, sync::LazyLock};

use chrono::NaiveDate;
use hosho::{
    domain::{
        application::{Judged, RuleContext, expires_on, judge},
        commitment::{Commitment, OpenCommitment},
        issuer::Branches,
        limits::Timeline,
        obligee::Registry,
        violation::{Code, Violation},
    },
    mail,
    pdf::{FontPaths, Fonts},
    reference::surety,
    stages::validate::content_sha256,
};
use hosho_schema::{
    ids,
    messages::{
        Amount, ApplicationAcceptedV1, ApplicationRejectedV1, ApplicationV1, BaseV1, BoundV1, CalculationV1,
        DecodeError, MediumV1, Message, NotificationV1, PrincipalV1, ProductV1, RejectedLineV1, ViolationV1,
        decode,
    },
    money::Yen,
    snapshots::{self, Application, Company},
};
use serde_json::Value;

use self::texts::harmless;

/// Checks a payload.
/// Returns `accepted` and the reported codes, over all earlier commitments.
pub fn hold(payload: &[u8]) -> BTreeSet<&'static str> {
    let mut outcomes = BTreeSet::new();
    match decode::<ApplicationV1>(payload) {
        Err(error) => {
            let violations = Violation::malformed::<ApplicationV1>(payload, &error);
            for violation in &violations {
                check_decode_violation(&error, violation);
            }
            check_violations(&violations, &[]);
            outcomes.extend(violations.iter().map(|violation| violation.code.as_str()));
        }
        Ok(wire) => {
            assert!(
                decode(&encode(&wire)).is_ok_and(|again: ApplicationV1| again == wire),
                "a decoded application is encoded to another one"
            );
            check_content_hash(payload, &wire);
            let alone = judged(&wire);
            for open in commitments(&alone) {
                let mut judged = alone.clone();
                judged.check_against(&open);
                outcomes.extend(check_verdict(&wire, judged, &open));
            }
        }
    }
    match serde_json::from_slice::<Value>(payload) {
        Ok(value) => each_text(&value, &mut texts::hold),
        Err(_) => texts::hold(&String::from_utf8_lossy(payload)),
    }
    outcomes
}

struct Reference {
    obligees: Registry,
    branches: Branches,
    fonts: Fonts,
}

/// The built-in obligees and `strict`.
/// `strict` accepts paper only, with a minimum price and maximums.
fn obligees() -> Registry {
    let built_in = hosho::reference::obligees::load(None).expect("the built-in obligees are valid");
    let origins = |code: &str| built_in.origins(code).expect("a built-in obligee").clone();
    let mut strict = built_in.get("ryugasaki").expect("a built-in obligee").clone();
    "strict".clone_into(&mut strict.code);
    strict.electronic.clear();
    let mut limits = built_in.national().on(day(2026, 12, 1)).clone();
    (limits.advance.minimum_contract_price, limits.advance.maximum) =
        (Some(Yen(5_000_000)), Some(Yen(3_000_000)));
    limits.interim.maximum = Some(Yen(1_000_000));
    strict.limits = Timeline::always(limits);
    let all = built_in
        .iter()
        .map(|obligee| (obligee.clone(), origins(&obligee.code)))
        .chain([(strict, origins("ryugasaki"))]);
    Registry::with_national(built_in.national().clone(), all)
}

fn judged(wire: &ApplicationV1) -> Judged {
    static REFERENCE: LazyLock<Reference> = LazyLock::new(|| Reference {
        obligees: obligees(),
        branches: surety::load_branches(None).expect("the built-in branches are valid"),
        fonts: Fonts::load(&FontPaths::system().expect("fonts are installed")).expect("fonts can be read"),
    });
    let Reference { obligees, branches, fonts } = &*REFERENCE;
    let facts = RuleContext {
        obligees,
        branches,
        received_on: day(2026, 12, 1),
        unprintable: &|text| fonts.missing(text),
        mail_address: &mail::normal_mail_address,
    };
    judge(wire, &facts)
}

fn day(year: i32, month: u32, day: u32) -> NaiveDate {
    NaiveDate::from_ymd_opt(year, month, day).expect("a day of the calendar")
}

/// Open commitments for the same works.
/// None, an issued advance, one not yet issued, all products on paper, an amount that overflows any sum.
fn commitments(alone: &Judged) -> Vec<Vec<OpenCommitment>> {
    let applied_for = alone.commitments();
    let open = |product, medium, amount, number: Option<&str>| {
        // The year and the base of the application itself.
        let own = applied_for.iter().find(|own| own.product == product).or(applied_for.first());
        OpenCommitment {
            commitment: Commitment {
                line: 0,
                product,
                year: own.map_or(2026, |own| own.year),
                works_number: own.and_then(|own| own.works_number.clone()),
                medium,
                amount: Yen(amount),
                base: own.map_or(BaseV1::ContractPrice, |own| own.base),
                low_price: own.is_some_and(|own| own.low_price),
            },
            source: "portal".to_owned(),
            on: day(2026, 11, 20),
            number: number.map(str::to_owned),
            issued: number.is_some(),
        }
    };
    let advance = |amount, number| open(ProductV1::AdvancePayment, MediumV1::Electronic, amount, number);
    let all = [ProductV1::AdvancePayment, ProductV1::InterimAdvancePayment, ProductV1::Performance];
    vec![
        Vec::new(),
        vec![advance(1_000_000, Some("31075-00001M"))],
        vec![advance(1_000_000, None)],
        all.map(|product| open(product, MediumV1::Paper, 1_000_000_000_000, Some("31075-00001M"))).into(),
        vec![advance(i64::MAX, Some("31075-00001M"))],
    ]
}

/// A decode error has its own code, and its message quotes only plain ASCII.
fn check_decode_violation(error: &DecodeError, violation: &Violation) {
    let matching = matches!(
        (error, violation.code),
        (DecodeError::NotJson { .. }, Code::MessageNotJson)
            | (DecodeError::Shape { .. }, Code::MessageMalformed)
    );
    assert!(matching, "{error:?} is reported as {violation:?}");
    let is_plain = |character: char| matches!(character, ' '..='~' | '…');
    assert!(violation.message_en.chars().all(is_plain), "{violation:?} quotes the payload");
}

/// The content hash does not depend on white space.
fn check_content_hash(payload: &[u8], wire: &ApplicationV1) {
    let value: Value = serde_json::from_slice(payload).expect("a decoded payload is JSON");
    let pretty = serde_json::to_vec_pretty(&value).expect("JSON can be encode");
    assert_eq!(content_sha256(payload), content_sha256(&pretty), "the content hash depends on white space");
    assert!(
        content_sha256(payload).is_some()
            || wire.source.len() + wire.id.len() > 256
            || (wire.source.clone() + &wire.id).contains('\0')
    );
}

/// Checks the verdict of an application, accepted or rejected.
fn check_verdict(wire: &ApplicationV1, judged: Judged, open: &[OpenCommitment]) -> BTreeSet<&'static str> {
    let (kept, key) = (judged.is_accepted(), judged.works_key());
    let (verdict, calculations) = judged.verdict();
    calculations.iter().for_each(check_calculation);
    match verdict {
        Ok(application) => {
            assert!(kept && key.is_some(), "accepted for works without a key");
            check_accepted(wire, &application, calculations, open, key.as_ref());
            BTreeSet::from(["accepted"])
        }
        Err(violations) => {
            assert!(!kept);
            check_violations(&violations, &calculations);
            let codes = violations.iter().map(|violation| violation.code.as_str()).collect();
            check_rejected(wire, violations, calculations);
            codes
        }
    }
}

/// An accepted application is within its limits; its normal form is accepted too.
fn check_accepted(
    wire: &ApplicationV1,
    application: &Application,
    calculations: Vec<CalculationV1>,
    open: &[OpenCommitment],
    key: Option<&String>,
) {
    for (line, product) in application.products.iter().enumerate() {
        let path = format!("$.products[{line}].amount");
        assert!((1..=1_000_000_000_000).contains(&product.amount.0));
        assert!(calculations.iter().any(|calculation| calculation.path == path), "no calculation for {path}");
    }
    assert!(
        calculations.iter().all(|calculation| calculation.kept),
        "accepted beyond a limit: {calculations:?}"
    );
    let expiries = application.products.iter().map(|line| expires_on(line.product, &application.works));
    assert!(application.works.from <= application.works.to && expiries.max() <= Some(application.works.to));
    assert!(
        snapshots::read::<Application>(&snapshots::canonical(application))
            .is_ok_and(|read| read == *application)
    );

    let normal = on_the_wire(application, wire);
    let mut again = judged(&normal);
    again.check_against(open);
    assert_eq!(again.works_key().as_ref(), key, "the normal form has another works key");
    let (verdict, calculations_again) = again.verdict();
    let verdict = verdict.unwrap_or_else(|violations| panic!("the normal form is rejected: {violations:?}"));
    assert!(
        verdict == *application,
        "{}\nbecomes\n{}",
        snapshots::canonical(application),
        snapshots::canonical(&verdict)
    );
    assert_eq!(calculations_again, calculations);

    let event = ApplicationAcceptedV1 {
        source: application.source.clone(),
        id: application.id.clone(),
        application: ids::application(&application.source, &application.id),
        products: application.products.iter().map(|line| line.product).collect(),
        calculations,
    };
    assert!(!String::from_utf8_lossy(&encode(&event)).contains('@'), "an event holds a mail address");
    assert_eq!(decode::<ApplicationAcceptedV1>(&encode(&event)).as_ref(), Ok(&event));
}

/// The event of a rejected application can be encoded and decoded.
fn check_rejected(wire: &ApplicationV1, violations: Vec<Violation>, calculations: Vec<CalculationV1>) {
    let event = ApplicationRejectedV1 {
        source: wire.source.clone(),
        id: wire.id.clone(),
        products: wire
            .products
            .iter()
            .map(|line| RejectedLineV1 { product: line.product, medium: line.medium })
            .collect(),
        violations: violations.into_iter().map(ViolationV1::from).collect(),
        calculations,
    };
    assert_eq!(decode::<ApplicationRejectedV1>(&encode(&event)).as_ref(), Ok(&event));
}

/// Violations are few, short, harmless, unique, and agree with the calculations.
fn check_violations(violations: &[Violation], calculations: &[CalculationV1]) {
    assert!((1..=250).contains(&violations.len()), "{} violations", violations.len());
    let mut once = BTreeSet::new();
    for violation in violations {
        assert!(Code::ALL.contains(&violation.code));
        assert!(once.insert((violation.code, &violation.path)), "reported twice: {violation:?}");
        let plain = |character: char| character.is_ascii_alphanumeric() || "$._-[]…".contains(character);
        assert!(
            violation.path.starts_with('$')
                && violation.path.chars().all(plain)
                && violation.path.len() <= 300,
            "{violation:?}"
        );
        let own = violation.code.documentation();
        for (message, words) in
            [(&violation.message_ja, own.message_ja), (&violation.message_en, own.message_en)]
        {
            assert!(!message.is_empty() && message.len() <= 2_000, "{violation:?}");
            // The fixed text about the form of an address has an @, but nothing of the payload.
            if message != words {
                harmless(message);
            }
        }
    }
    for CalculationV1 { code, path, kept, .. } in calculations {
        let is_reported =
            violations.iter().any(|violation| violation.code.as_str() == code && violation.path == *path);
        assert_eq!(
            is_reported, !kept,
            "{code} of {path}: exactly the calculations beyond their limit are reported"
        );
    }
}

/// A calculation can be repeated from the amounts it contains.
fn check_calculation(calculation: &CalculationV1) {
    let CalculationV1 { amount, bound, limit, base_amount, ratio, rounding_unit, kept, .. } = calculation;
    assert!(Code::ALL.iter().any(|code| code.as_str() == calculation.code), "{calculation:?}");
    let fits = match bound {
        BoundV1::AtMost => amount <= limit,
        BoundV1::AtLeast => amount >= limit,
    };
    assert_eq!(fits, *kept, "{calculation:?}");
    if let Some(ratio) = ratio {
        let (numerator, denominator) = ratio.terms();
        let (product, denominator) =
            (i128::from(base_amount.0) * i128::from(numerator), i128::from(denominator));
        let unit = i128::from(rounding_unit.map_or(1, |unit| unit.0));
        let exact = match bound {
            BoundV1::AtMost => product / (denominator * unit) * unit,
            BoundV1::AtLeast => (product + denominator - 1) / denominator,
        };
        assert_eq!(i128::from(limit.0), exact, "{calculation:?}");
    }
    let tenths = (i128::from(amount.0) * 2_000 + i128::from(base_amount.0)) / (2 * i128::from(base_amount.0));
    let tenths = tenths.min(i128::from(u64::MAX));
    assert_eq!(calculation.percentage, format!("{}.{}", tenths / 10, tenths % 10), "{calculation:?}");
}

/// The payload of an accepted application in its normal form.
/// Fields that the normal form lacks (dates that are used only to decide) are as sent.
fn on_the_wire(application: &Application, sent: &ApplicationV1) -> ApplicationV1 {
    let mut wire = sent.clone();
    let Application { source, id, branch, obligee, works, principal, products, mail_address, contact } =
        application.clone();
    (wire.source, wire.id, wire.branch, wire.obligee) = (source, id, branch, obligee);
    (wire.works.name, wire.works.number, wire.works.kind) = (works.name, works.number, works.kind);
    wire.works.contract_price = Amount::Integer(works.contract_price.0);
    (wire.works.term.from, wire.works.term.to) = (works.from.to_string(), works.to.to_string());
    wire.works.contract_date = works.contract_date.map(|date| date.to_string());
    (wire.works.low_price, wire.works.fiscal_year) = (works.low_price, works.fiscal_year);
    let Company { name, address, representative } = principal.company;
    match &mut wire.principal {
        PrincipalV1::Company { name: to_name, address: to_address, representative: to_representative } => {
            (*to_name, *to_address, *to_representative) = (name, address, representative);
        }
        PrincipalV1::JointVenture { name: to_name, representative: first, members } => {
            *to_name = principal.joint_venture.expect("a joint venture remains one");
            (first.name, first.address, first.representative) = (name, address, representative);
            assert_eq!(members.len(), principal.members.len(), "a joint venture keeps its members");
            for (member, Company { name, address, representative }) in
                members.iter_mut().zip(principal.members)
            {
                (member.name, member.address, member.representative) = (name, address, representative);
            }
        }
    }
    assert_eq!(wire.products.len(), products.len(), "an accepted application keeps its products");
    for (wire, line) in wire.products.iter_mut().zip(products) {
        (wire.product, wire.medium, wire.amount) =
            (line.product, line.medium, Amount::Integer(line.amount.0));
        wire.this_year_base = line.this_year_base.map(|base| Amount::Integer(base.0));
        (wire.bank, wire.redeposit, wire.calculation_sheet) =
            (line.bank, line.redeposit, line.calculation_sheet);
        (wire.premium_payment, wire.bill_to) = (line.premium_payment, line.bill_to);
    }
    wire.notification = NotificationV1 { wanted: mail_address.is_some(), mail_address };
    (wire.contact.department, wire.contact.position, wire.contact.name) =
        (contact.department, contact.position, contact.name);
    (wire.contact.telephone, wire.contact.remarks) = (contact.telephone, contact.remarks);
    wire
}

fn encode<M: Message>(message: &M) -> Vec<u8> {
    serde_json::to_vec(message).expect("messages can be encoded")
}

/// Visits every text of a JSON value, keys included.
fn each_text(value: &Value, visit: &mut impl FnMut(&str)) {
    match value {
        Value::String(text) => visit(text),
        Value::Array(items) => items.iter().for_each(|item| each_text(item, visit)),
        Value::Object(fields) => fields.iter().for_each(|(key, value)| {
            visit(key);
            each_text(value, visit);
        }),
        _ => {}
    }
}
