//! The notice.

use crate::documents::tests::*;

#[test]
fn notice_contains_every_required_text_on_one_page() {
    for (name, certificate) in samples::notices() {
        let (text, pages) = read_back(&notice_of(&certificate));
        assert_eq!(pages, 1, "{name}");
        assert!(notice_of(&certificate).len() <= 48 * 1024, "{name}");
        assert_contains(
            name,
            &text,
            &[
                "電子保証にかかる「認証キー」のお知らせ",
                "アップロード",
                "電子メール",
                "はじめて手続きが完了します",
                "閲覧サイトにログインし",
                &wareki(certificate.issued_on),
                &certificate.number,
                &certificate.works.name,
                &format!("受注者名{}", certificate.principal.company.name),
                labels::product(certificate.product),
                &certificate.obligee.name,
                &certificate.surety.name,
                &certificate.branch.name,
                &certificate.branch.telephone,
                &certificate.branch.fax,
                REGISTRY,
            ],
        );
        let submission = &certificate.obligee.submission;
        let optional =
            [&submission.mail_address, &submission.subject, &submission.system, &submission.department];
        assert_contains(name, &text, &optional.into_iter().flatten().map(String::as_str).collect::<Vec<_>>());
        assert_eq!(text.contains("送信先は発注者にご確認ください"), name == "notice-minimal", "{name}");
        if let Some(joint_venture) = &certificate.principal.joint_venture {
            let (head, company) =
                (format!("（{joint_venture}　代表者）"), &certificate.principal.company.name);
            assert_contains(name, &text, &[&head, &format!("{joint_venture}代表者{company}御中")]);
        }
        assert_eq!(text.matches(KEY).count(), 1, "{name}");
        let (form, end) = (text.find("記工事名"), text.find("以上発注者の皆さまへ"));
        assert!(form.is_some() && form < end, "{name}: {text}");
    }
}

#[test]
fn only_amended_notices_mention_a_revision() {
    for (name, certificate) in samples::notices() {
        let (text, _) = read_back(&notice_of(&certificate));
        match labels::amendment(certificate.revision) {
            None => assert!(!text.contains("変更"), "{name}: {text}"),
            Some(revision) => {
                let row = format!("{}{revision}", labels::product(certificate.product));
                assert_contains(
                    name,
                    &text,
                    &[&row, &format!("変更後の電子証書（{revision}）"), "変更前にお知らせしたものと同じです"],
                );
            }
        }
    }
}

#[test]
fn qr_code_links_to_registry_with_number() {
    let certificate = samples::single();
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("notice.pdf");
    std::fs::write(&path, notice_of(&certificate)).unwrap();
    let image = folder.path().join("notice");
    assert!(
        Command::new("pdftoppm")
            .args(["-r", "150", "-gray"])
            .arg(&path)
            .arg(&image)
            .status()
            .unwrap()
            .success()
    );
    let output = Command::new("zbarimg")
        .args(["-q", "--raw"])
        .arg(folder.path().join("notice-1.pgm"))
        .output()
        .unwrap();
    assert_eq!(
        String::from_utf8_lossy(&output.stdout).trim(),
        format!("{REGISTRY}?number={}", certificate.number)
    );
}

#[test]
fn key_is_one_word() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("notice.pdf");
    std::fs::write(&path, notice_of(&samples::single())).unwrap();
    let output =
        Command::new("pdftotext").args(["-layout", "-enc", "UTF-8"]).arg(&path).arg("-").output().unwrap();
    let text = String::from_utf8(output.stdout).unwrap();
    assert!(text.split_whitespace().any(|word| word == KEY), "{text}");
}

fn wareki(date: chrono::NaiveDate) -> String {
    crate::domain::wareki::format(date)
}
