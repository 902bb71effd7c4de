//! Notices and certificates, drawn and read back.

use std::process::Command;

use hosho_schema::messages::MediumV1;

use super::samples::{KEY, REGISTRY, certificates};
use hosho_schema::messages::ProductV1;

use super::*;
use crate::pdf::test_fonts;

fn templates() -> Templates {
    Templates::load(None).unwrap()
}

fn created() -> NaiveDateTime {
    chrono::NaiveDate::from_ymd_opt(2026, 7, 1).unwrap().and_hms_opt(3, 4, 5).unwrap()
}

fn notice_of(certificate: &Certificate) -> Vec<u8> {
    notice(&templates(), test_fonts(), certificate, KEY, REGISTRY, created()).unwrap()
}

fn certificate_of(content: &Certificate) -> Vec<u8> {
    certificate(&templates(), test_fonts(), content, created()).unwrap()
}

/// The text of a document without the line ends and spaces that layout made, and its number of pages.
fn read_back(pdf: &[u8]) -> (String, usize) {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("paper.pdf");
    std::fs::write(&path, pdf).unwrap();
    let output = Command::new("pdftotext").args(["-raw", "-enc", "UTF-8"]).arg(&path).arg("-").output().unwrap();
    let text = String::from_utf8(output.stdout).unwrap();
    let pages = text.matches('\u{c}').count();
    (squeezed(&text), pages)
}

fn squeezed(text: &str) -> String {
    text.chars().filter(|character| !character.is_whitespace() && *character != '\u{3000}').collect()
}

#[test]
fn a_notice_says_what_it_must_on_one_page() {
    for (name, certificate) in certificates() {
        let (text, pages) = read_back(&notice_of(&certificate));
        assert_eq!(pages, 1, "{name}");
        let submission = &certificate.obligee.submission;
        let mut expected = vec![
            "電子保証にかかる「認証キー」のお知らせ",
            KEY,
            &certificate.number,
            &certificate.works.name,
            &certificate.principal.company.name,
            wording::product(certificate.product),
            &certificate.obligee.name,
            &certificate.surety.name,
            &certificate.branch.telephone,
            REGISTRY,
        ];
        expected.extend(submission.mail_address.as_deref());
        expected.extend(submission.subject.as_deref());
        expected.extend(submission.system.as_deref());
        expected.extend(submission.department.as_deref());
        let representative = certificate.principal.joint_venture.as_ref().map(|name| format!("（{name}　代表者）"));
        expected.extend(representative.as_deref());
        for expected in expected {
            assert!(text.contains(&squeezed(expected)), "{name} lacks {expected}: {text}");
        }
        assert_eq!(text.matches(KEY).count(), 1, "{name}");
    }
}

#[test]
fn a_certificate_says_what_it_must_on_one_page() {
    for (name, content) in certificates() {
        let (text, pages) = read_back(&certificate_of(&content));
        assert_eq!(pages, 1, "{name}");
        let mut expected = vec![
            format!("保証証書（{}）", wording::product(content.product)),
            content.number.clone(),
            content.amount.to_string(),
            content.works.contract_price.to_string(),
            content.works.name.clone(),
            content.obligee.title.clone(),
            content.principal.company.name.clone(),
            content.principal.company.address.clone(),
            content.surety.president.clone(),
            content.surety.terms_version.clone(),
            content.branch.fax.clone(),
            "令和8年7月2日から令和9年3月19日まで".to_owned(),
        ];
        expected.extend(content.bank.clone());
        expected.extend(content.principal.members.iter().map(|member| member.name.clone()));
        expected.extend(wording::amendment(content.revision));
        for expected in expected {
            assert!(text.contains(&squeezed(&expected)), "{name} lacks {expected}: {text}");
        }
        assert_eq!(text.contains("電子"), content.medium == MediumV1::Electronic, "{name}");
        assert_eq!(text.contains("変更－"), content.revision > 0, "{name}");
        assert_eq!(text.contains("預託金融機関"), content.product != ProductV1::Performance, "{name}");
        assert!(!text.contains(KEY), "{name}");
    }
}

#[test]
fn the_code_of_a_notice_opens_the_registry_with_the_number_only() {
    let (_, certificate) = certificates().remove(0);
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("notice.pdf");
    std::fs::write(&path, notice_of(&certificate)).unwrap();
    let image = folder.path().join("notice");
    assert!(Command::new("pdftoppm").args(["-r", "150", "-gray"]).arg(&path).arg(&image).status().unwrap().success());
    let output = Command::new("zbarimg").args(["-q", "--raw"]).arg(folder.path().join("notice-1.pgm")).output().unwrap();
    assert_eq!(String::from_utf8_lossy(&output.stdout).trim(), format!("{REGISTRY}?number={}", certificate.number));
}

#[test]
fn hostile_names_are_printed_and_never_interpreted() {
    let (_, mut certificate) = certificates().remove(0);
    "工事{{number}}<b>太字</b>&amp;<!-- -->\"'".clone_into(&mut certificate.works.name);
    "<p>{{> partials/certificate_head}}".clone_into(&mut certificate.principal.company.name);
    for pdf in [notice_of(&certificate), certificate_of(&certificate)] {
        let (text, _) = read_back(&pdf);
        assert!(text.contains("工事{{number}}<b>太字</b>&amp;<!---->\"'"), "{text}");
        assert!(text.contains("<p>{{>partials/certificate_head}}"), "{text}");
    }
}

#[test]
fn a_character_that_cannot_be_drawn_fails_without_repeating_the_text() {
    let (_, mut content) = certificates().remove(0);
    content.works.name.push('\u{10FFFD}');
    let error = certificate(&templates(), test_fonts(), &content, created()).unwrap_err();
    let PaperError::Draw { source } = error else { panic!("{error}") };
    assert_eq!(source.to_string(), "no font draws \u{10FFFD} (U+10FFFD)");
    "甲\u{B}乙".clone_into(&mut content.works.name);
    assert!(matches!(certificate(&templates(), test_fonts(), &content, created()), Err(PaperError::Draw { .. })));
}

/// A long document goes on to a second page; nothing is lost.
#[test]
fn a_joint_venture_of_many_members_takes_a_second_page() {
    let (_, mut content) = certificates().remove(1);
    let member = content.principal.members[0].clone();
    content.principal.members = vec![member; 12];
    let (text, pages) = read_back(&certificate_of(&content));
    assert_eq!(pages, 2);
    assert_eq!(text.matches("新緑土木株式会社").count(), 12);
}

#[test]
fn the_same_document_is_the_same_bytes() {
    let (_, content) = certificates().remove(3);
    assert_eq!(certificate_of(&content), certificate_of(&content));
    assert_eq!(notice_of(&content), notice_of(&content));
}

/// `HOSHO_PAPERS=<folder> cargo test papers::` leaves all samples there for a look.
#[test]
fn samples_can_be_looked_at() {
    let Some(folder) = std::env::var_os("HOSHO_PAPERS") else { return };
    let folder = std::path::Path::new(&folder);
    for (name, content) in certificates() {
        let name = name.replace(' ', "-");
        std::fs::write(folder.join(format!("{name}-notice.pdf")), notice_of(&content)).unwrap();
        std::fs::write(folder.join(format!("{name}-certificate.pdf")), certificate_of(&content)).unwrap();
    }
}
