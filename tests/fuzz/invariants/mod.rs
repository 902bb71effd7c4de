//! What holds for every payload whatever: shared by the fuzzer (`make fuzz`) and by `tests/it/fuzz.rs`, which asks it of the seeds
//! and of everything the fuzzer ever found.
//!
//! Everything here panics where an invariant is broken. The rules are asked with the facts of the validate stage: the obligees and
//! branches built in (and one more obligee), the glyphs of the fonts installed, the mail addresses that lettre takes.

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

/// Asks every invariant of a payload. Returns what became of it: `accepted` or the codes told, whatever others engaged before.
pub fn hold(payload: &[u8]) -> BTreeSet<&'static str> {
    let mut outcomes = BTreeSet::new();
    match decode::<ApplicationV1>(payload) {
        Err(error) => {
            let violations = Violation::malformed::<ApplicationV1>(payload, &error);
            for violation in &violations {
                misfit(&error, violation);
            }
            told(&violations, &[]);
            outcomes.extend(violations.iter().map(|violation| violation.code.as_str()));
        }
        Ok(wire) => {
            assert!(
                decode(&written(&wire)).is_ok_and(|again: ApplicationV1| again == wire),
                "an application does not travel"
            );
            one_content(payload, &wire);
            let alone = judged(&wire);
            for engaged in commitments(&alone) {
                let mut judged = alone.clone();
                judged.check_against(&engaged);
                outcomes.extend(decided(&wire, judged, &engaged));
            }
        }
    }
    match serde_json::from_slice::<Value>(payload) {
        Ok(value) => each_text(&value, &mut texts::hold),
        Err(_) => texts::hold(&String::from_utf8_lossy(payload)),
    }
    outcomes
}

struct Surroundings {
    obligees: Registry,
    branches: Branches,
    fonts: Fonts,
}

/// The obligees built in, and one for the rules that none of them has: `strict` takes paper only, from a price and up to a maximum.
fn obligees() -> Registry {
    let built_in = hosho::reference::obligees::load(None).expect("the obligees built in are valid");
    let origins = |code: &str| built_in.origins(code).expect("an obligee built in").clone();
    let mut strict = built_in.get("ryugasaki").expect("an obligee built in").clone();
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
    static SURROUNDINGS: LazyLock<Surroundings> = LazyLock::new(|| Surroundings {
        obligees: obligees(),
        branches: surety::load_branches(None).expect("the branches built in are valid"),
        fonts: Fonts::load(&FontPaths::system().expect("fonts are installed")).expect("fonts can be read"),
    });
    let Surroundings { obligees, branches, fonts } = &*SURROUNDINGS;
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

/// What others may have engaged for the same works: nothing, an advance that is issued, one that is not, everything on paper, and
/// more than any sum can hold.
fn commitments(alone: &Judged) -> Vec<Vec<OpenCommitment>> {
    let asked = alone.commitments();
    let engaged = |product, medium, amount, number: Option<&str>| {
        // As the application itself would: for its years, by its base.
        let own = asked.iter().find(|own| own.product == product).or(asked.first());
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
    let advance = |amount, number| engaged(ProductV1::AdvancePayment, MediumV1::Electronic, amount, number);
    let all = [ProductV1::AdvancePayment, ProductV1::InterimAdvancePayment, ProductV1::Performance];
    vec![
        Vec::new(),
        vec![advance(1_000_000, Some("31075-00001M"))],
        vec![advance(1_000_000, None)],
        all.map(|product| engaged(product, MediumV1::Paper, 1_000_000_000_000, Some("31075-00001M"))).into(),
        vec![advance(i64::MAX, Some("31075-00001M"))],
    ]
}

/// A payload that is no application is told so by where, and by nothing of what stood there but plain words.
fn misfit(error: &DecodeError, violation: &Violation) {
    let told = matches!(
        (error, violation.code),
        (DecodeError::NotJson { .. }, Code::MessageNotJson)
            | (DecodeError::Shape { .. }, Code::MessageMalformed)
    );
    assert!(told, "{error:?} is told as {violation:?}");
    let ours = |character: char| matches!(character, ' '..='~' | '…');
    assert!(violation.message_en.chars().all(ours), "{violation:?} repeats what was sent");
}

/// However it is written, it is the same content.
fn one_content(payload: &[u8], wire: &ApplicationV1) {
    let value: Value = serde_json::from_slice(payload).expect("what was decoded is JSON");
    let pretty = serde_json::to_vec_pretty(&value).expect("JSON can be written");
    assert_eq!(content_sha256(payload), content_sha256(&pretty), "the content depends on how it is written");
    assert!(
        content_sha256(payload).is_some()
            || wire.source.len() + wire.id.len() > 256
            || (wire.source.clone() + &wire.id).contains('\0')
    );
}

/// Holds a decided application to what is promised of either answer.
fn decided(wire: &ApplicationV1, judged: Judged, engaged: &[OpenCommitment]) -> BTreeSet<&'static str> {
    let (kept, key) = (judged.is_accepted(), judged.works_key());
    let (verdict, calculations) = judged.verdict();
    calculations.iter().for_each(sum);
    match verdict {
        Ok(application) => {
            assert!(kept && key.is_some(), "accepted for works that have no name");
            accepted(wire, &application, calculations, engaged, key.as_ref());
            BTreeSet::from(["accepted"])
        }
        Err(violations) => {
            assert!(!kept);
            told(&violations, &calculations);
            let codes = violations.iter().map(|violation| violation.code.as_str()).collect();
            rejected(wire, violations, calculations);
            codes
        }
    }
}

/// An accepted application keeps every limit, and is accepted again in its normal form, which is its own normal form.
fn accepted(
    wire: &ApplicationV1,
    application: &Application,
    calculations: Vec<CalculationV1>,
    engaged: &[OpenCommitment],
    key: Option<&String>,
) {
    for (line, product) in application.products.iter().enumerate() {
        let path = format!("$.products[{line}].amount");
        assert!((1..=1_000_000_000_000).contains(&product.amount.0));
        assert!(calculations.iter().any(|calculation| calculation.path == path), "no sum explains {path}");
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
    again.check_against(engaged);
    assert_eq!(again.works_key().as_ref(), key, "the normal form names other works");
    let (verdict, sums) = again.verdict();
    let verdict = verdict.unwrap_or_else(|violations| panic!("the normal form is rejected: {violations:?}"));
    assert!(
        verdict == *application,
        "{}\nbecomes\n{}",
        snapshots::canonical(application),
        snapshots::canonical(&verdict)
    );
    assert_eq!(sums, calculations);

    let event = ApplicationAcceptedV1 {
        source: application.source.clone(),
        id: application.id.clone(),
        application: ids::application(&application.source, &application.id),
        products: application.products.iter().map(|line| line.product).collect(),
        calculations,
    };
    assert!(!String::from_utf8_lossy(&written(&event)).contains('@'), "an event holds a mail address");
    assert_eq!(decode::<ApplicationAcceptedV1>(&written(&event)).as_ref(), Ok(&event));
}

/// The answer to a rejected application travels.
fn rejected(wire: &ApplicationV1, violations: Vec<Violation>, calculations: Vec<CalculationV1>) {
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
    assert_eq!(decode::<ApplicationRejectedV1>(&written(&event)).as_ref(), Ok(&event));
}

/// Violations are few, short, harmless, each told once, and go together with the sums.
fn told(violations: &[Violation], calculations: &[CalculationV1]) {
    assert!((1..=250).contains(&violations.len()), "{} violations", violations.len());
    let mut once = BTreeSet::new();
    for violation in violations {
        assert!(Code::ALL.contains(&violation.code));
        assert!(once.insert((violation.code, &violation.path)), "told twice: {violation:?}");
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
            // What says how an address is written has an @ of its own, and nothing of the sender's.
            if message != words {
                harmless(message);
            }
        }
    }
    for CalculationV1 { code, path, kept, .. } in calculations {
        let is_told =
            violations.iter().any(|violation| violation.code.as_str() == code && violation.path == *path);
        assert_eq!(is_told, !kept, "{code} of {path}: a broken sum is told, and no other");
    }
}

/// A sum can be done again from its own figures.
fn sum(calculation: &CalculationV1) {
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

/// An accepted application as an upstream system would send it that knows the normal form. What the normal form leaves out (dates
/// that only decide) is as it was sent.
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
            *to_name = principal.joint_venture.expect("a joint venture stays one");
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

fn written<M: Message>(message: &M) -> Vec<u8> {
    serde_json::to_vec(message).expect("messages can be written")
}

/// Visits every text of a JSON value, keys too.
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
