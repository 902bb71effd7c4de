//! Holds `examples/` to what it says: one file is all accepted, and each line of the other breaks the one rule its id names.

use std::{collections::BTreeSet, fmt::Write as _};

use chrono::NaiveDate;
use hosho::{
    domain::{
        application::{self, Facts, Judged},
        engagement::Engaged,
        violation::{Code, Violation},
    },
    mail,
    reference::{obligees, surety},
};
use hosho_schema::{
    messages::{ApplicationV1, MediumV1, ProductV1, decode},
    snapshots::Application,
};
use serde_json::Value;

const APPLICATIONS: &str = include_str!("../../../examples/applications.jsonl");
const INTERIM: &str = include_str!("../../../examples/interim.jsonl");
const REJECTED: &str = include_str!("../../../examples/rejected.jsonl");

fn judged(line: &str) -> Result<Judged, Vec<Violation>> {
    let wire = decode::<ApplicationV1>(line.as_bytes())
        .map_err(|error| Violation::malformed::<ApplicationV1>(line.as_bytes(), &error))?;
    let facts = Facts {
        obligees: &obligees::load(None).unwrap(),
        branches: &surety::load_branches(None).unwrap(),
        received_on: NaiveDate::from_ymd_opt(2026, 11, 20).unwrap(),
        // Cuneiform: what no font of the project has.
        unprintable: &|text| {
            text.chars().filter(|character| ('\u{12000}'..'\u{12550}').contains(character)).collect()
        },
        mail_address: &mail::normal_mail_address,
    };
    Ok(application::judge(&wire, &facts))
}

fn judge_after(line: &str, engaged: &[Engaged]) -> Result<Application, Vec<Violation>> {
    let mut judged = judged(line)?;
    judged.against(engaged);
    judged.verdict().0
}

fn judge(line: &str) -> Result<Application, Vec<Violation>> {
    judge_after(line, &[])
}

#[test]
fn every_application_is_accepted_with_its_names_intact() {
    for line in APPLICATIONS.lines() {
        let application = judge(line).unwrap_or_else(|violations| panic!("{line}\n{violations:#?}"));
        for company in application.principal.members.iter().chain([&application.principal.company]) {
            for text in [&company.name, &company.address, &company.representative] {
                assert!(line.contains(text.as_str()), "{text} in {line}");
            }
        }
        assert!(line.contains(&application.works.name));
    }
}

#[test]
fn the_applications_show_what_they_promise() {
    let applications: Vec<_> = APPLICATIONS.lines().map(|line| judge(line).unwrap()).collect();
    let ids: BTreeSet<_> = applications.iter().map(|application| &application.id).collect();
    assert_eq!(ids.len(), applications.len());
    let obligees: BTreeSet<_> = applications.iter().map(|application| application.obligee.as_str()).collect();
    assert_eq!(obligees, BTreeSet::from(["hirakawa", "kwsa", "matsumoto", "nasushiobara", "ryugasaki"]));
    let lines = || applications.iter().flat_map(|application| &application.products);
    for product in [ProductV1::AdvancePayment, ProductV1::Performance] {
        for medium in [MediumV1::Electronic, MediumV1::Paper] {
            assert!(
                lines().any(|line| (line.product, line.medium) == (product, medium)),
                "{product:?} {medium:?}"
            );
        }
    }
    assert!(lines().any(|line| line.bank.as_deref() == Some("カクウシンヨウキンコ　ナスシオバラシテン")));
    assert!(applications.iter().any(|application| application.principal.members.len() > 1));
    assert!(applications.iter().any(|application| application.works.fiscal_year.is_some()));
    assert!(lines().any(|line| line.this_year_base.is_some()));
    assert!(applications.iter().any(|application| application.mail_address.is_none()));
    assert!(applications.iter().any(|application| application.works.contract_date.is_none()));
    for kanji in ['髙', '﨑', '𠮷', '槗'] {
        assert!(
            applications.iter().any(|application| application
                .principal
                .company
                .representative
                .contains(kanji)),
            "{kanji}"
        );
    }
}

#[test]
fn an_interim_advance_follows_its_advance() {
    let applications: Vec<_> = APPLICATIONS.lines().map(|line| judged(line).unwrap()).collect();
    for line in INTERIM.lines() {
        let interim = judged(line).unwrap();
        let engaged: Vec<_> = applications
            .iter()
            .filter(|earlier| judge_after(line, &engaged_by(earlier)).is_ok())
            .filter(|earlier| interim.works_key() == earlier.works_key())
            .collect();
        assert_eq!(engaged.len(), 1, "{line}: an advance of the same works");
        assert!(judge(line).is_err(), "{line} alone");
    }
}

fn engaged_by(application: &Judged) -> Vec<Engaged> {
    let engaged = |engagement| Engaged {
        engagement,
        source: application.source().to_owned(),
        on: NaiveDate::from_ymd_opt(2026, 11, 20).unwrap(),
        number: Some("31075-00001M".to_owned()),
        issued: true,
    };
    application.engages().into_iter().map(engaged).collect()
}

/// The code that a line's id names: `rejected-obligee.unknown:detail` → `obligee.unknown`.
fn named(line: &str) -> String {
    let value: Value = serde_json::from_str(line).unwrap();
    let id = value["id"].as_str().unwrap();
    let code = id.strip_prefix("rejected-").unwrap();
    code.chars()
        .take_while(|&character| character.is_ascii_lowercase() || matches!(character, '.' | '_'))
        .collect()
}

#[test]
fn each_rejected_line_breaks_exactly_the_rule_it_names() {
    for line in REJECTED.lines() {
        let violations = judge(line).expect_err(line);
        let codes: Vec<_> = violations.iter().map(|violation| violation.code.as_str()).collect();
        assert_eq!(codes, [named(line)], "{line}\n{violations:#?}");
        let told = format!("{} {}", violations[0].message_ja, violations[0].message_en);
        assert!(!told.contains("example.jp") && !told.contains("example.com"), "{told}");
        assert!(!told.chars().any(char::is_control), "{told:?}");
    }
}

#[test]
fn every_code_has_its_line() {
    /// Codes that no single line can break, or none alone, against the built-in registry.
    const ELSEWHERE: [Code; 22] = [
        // No line of a file that names its id.
        Code::MessageNotJson,
        // Only after an earlier application.
        Code::ApplicationIdReused,
        Code::ProductAlreadyApplied,
        Code::MediumFixed,
        Code::InterimWorksOnly,
        Code::InterimDiffersFromAdvance,
        Code::InterimBeforeAdvanceIssued,
        Code::AmountExceedsTotal,
        // No obligee built in takes paper only, makes advances from a price on, or up to a maximum.
        Code::ObligeeNotElectronic,
        Code::ContractPriceBelowMinimum,
        Code::AmountExceedsMaximum,
        // Of another message.
        Code::CancellationConsentRequired,
        Code::ChangeIdReused,
        Code::GuaranteeMalformed,
        Code::GuaranteeUnknown,
        Code::GuaranteeEnded,
        Code::VersionNotPositive,
        Code::VersionTaken,
        Code::VersionOutdated,
        Code::RevisionUnknown,
        Code::RevisionNotAnAmendment,
        Code::CancelledBeforeIssue,
    ];
    let shown: BTreeSet<_> = REJECTED.lines().map(named).collect();
    let expected: BTreeSet<_> = Code::ALL
        .iter()
        .filter(|code| !ELSEWHERE.contains(code))
        .map(|code| code.as_str().to_owned())
        .collect();
    assert_eq!(shown, expected);
}

/// Every broken rule of the rejected examples.
pub(super) fn rejected() -> impl Iterator<Item = Violation> {
    REJECTED.lines().flat_map(|line| judge(line).expect_err(line))
}

/// Every message as people read it, for review.
#[test]
fn messages_are_as_reviewed() {
    let mut told = String::new();
    for violation in rejected() {
        let Violation { code, path, message_ja, message_en } = violation;
        writeln!(told, "{code} {path}\n  {message_ja}\n  {message_en}").unwrap();
    }
    insta::assert_snapshot!(told);
}
