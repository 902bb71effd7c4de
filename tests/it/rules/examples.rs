//! `examples/`: applications are accepted; a rejected line breaks exactly one rule.
//! The id of the line names that rule.

use std::{collections::BTreeSet, fmt::Write as _};

use chrono::NaiveDate;
use hosho::{
    domain::{
        application::{self, Judged, RuleContext},
        commitment::OpenCommitment,
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
    let context = RuleContext {
        obligees: &obligees::load(None).unwrap(),
        branches: &surety::load_branches(None).unwrap(),
        received_on: NaiveDate::from_ymd_opt(2026, 11, 20).unwrap(),
        // Cuneiform: no font of the project has glyphs for it.
        unprintable: &|text| {
            text.chars().filter(|character| ('\u{12000}'..'\u{12550}').contains(character)).collect()
        },
        mail_address: &mail::normal_mail_address,
    };
    Ok(application::judge(&wire, &context))
}

fn judge_after(line: &str, open: &[OpenCommitment]) -> Result<Application, Vec<Violation>> {
    let mut judged = judged(line)?;
    judged.check_against(open);
    judged.verdict().0
}

fn judge(line: &str) -> Result<Application, Vec<Violation>> {
    judge_after(line, &[])
}

#[test]
fn accepts_every_application_with_unchanged_names() {
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
fn applications_cover_products_media_obligees_and_names() {
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
fn interim_advances_need_their_own_advance() {
    let applications: Vec<_> = APPLICATIONS.lines().map(|line| judged(line).unwrap()).collect();
    for line in INTERIM.lines() {
        let interim = judged(line).unwrap();
        let advances: Vec<_> = applications
            .iter()
            .filter(|earlier| judge_after(line, &commitments_of(earlier)).is_ok())
            .filter(|earlier| interim.works_key() == earlier.works_key())
            .collect();
        assert_eq!(advances.len(), 1, "{line}: an advance of the same works");
        assert!(judge(line).is_err(), "{line} alone");
    }
}

fn commitments_of(application: &Judged) -> Vec<OpenCommitment> {
    let open = |commitment| OpenCommitment {
        commitment,
        source: application.source().to_owned(),
        on: NaiveDate::from_ymd_opt(2026, 11, 20).unwrap(),
        number: Some("31075-00001M".to_owned()),
        issued: true,
    };
    application.commitments().into_iter().map(open).collect()
}

/// The code in a line's id: `rejected-obligee.unknown:detail` → `obligee.unknown`.
fn code_of(line: &str) -> String {
    let value: Value = serde_json::from_str(line).unwrap();
    let id = value["id"].as_str().unwrap();
    let code = id.strip_prefix("rejected-").unwrap();
    code.chars()
        .take_while(|&character| character.is_ascii_lowercase() || matches!(character, '.' | '_'))
        .collect()
}

#[test]
fn rejected_lines_break_exactly_their_named_rule() {
    for line in REJECTED.lines() {
        let violations = judge(line).expect_err(line);
        let codes: Vec<_> = violations.iter().map(|violation| violation.code.as_str()).collect();
        assert_eq!(codes, [code_of(line)], "{line}\n{violations:#?}");
        let messages = format!("{} {}", violations[0].message_ja, violations[0].message_en);
        assert!(!messages.contains("example.jp") && !messages.contains("example.com"), "{messages}");
        assert!(!messages.chars().any(char::is_control), "{messages:?}");
    }
}

#[test]
fn every_code_has_a_rejected_line() {
    /// Codes that no single line can break alone with the built-in registry.
    const ELSEWHERE: [Code; 22] = [
        // Such a line has no id.
        Code::MessageNotJson,
        // These need an earlier application.
        Code::ApplicationIdReused,
        Code::ProductAlreadyApplied,
        Code::MediumFixed,
        Code::InterimWorksOnly,
        Code::InterimDiffersFromAdvance,
        Code::InterimBeforeAdvanceIssued,
        Code::AmountExceedsTotal,
        // No built-in obligee accepts only paper, or has a minimum contract price or a maximum.
        Code::ObligeeNotElectronic,
        Code::ContractPriceBelowMinimum,
        Code::AmountExceedsMaximum,
        // These belong to other messages.
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
    let shown: BTreeSet<_> = REJECTED.lines().map(code_of).collect();
    let expected: BTreeSet<_> = Code::ALL
        .iter()
        .filter(|code| !ELSEWHERE.contains(code))
        .map(|code| code.as_str().to_owned())
        .collect();
    assert_eq!(shown, expected);
}

pub(super) fn rejected() -> impl Iterator<Item = Violation> {
    REJECTED.lines().flat_map(|line| judge(line).expect_err(line))
}

#[test]
fn messages_are_as_reviewed() {
    let mut messages = String::new();
    for violation in rejected() {
        let Violation { code, path, message_ja, message_en } = violation;
        writeln!(messages, "{code} {path}\n  {message_ja}\n  {message_en}").unwrap();
    }
    insta::assert_snapshot!(messages);
}
