//! Contexts have only the fields that may be printed.

use std::collections::BTreeSet;

use serde_json::Value;

use crate::documents::tests::*;

/// The paths of all values, `[]` for the elements of a list.
fn paths(value: &Value, path: &str, found: &mut BTreeSet<String>) {
    match value {
        Value::Object(fields) => {
            fields.iter().for_each(|(name, value)| paths(value, &format!("{path}.{name}"), found));
        }
        Value::Array(values) => values.iter().for_each(|value| paths(value, &format!("{path}[]"), found)),
        _ => _ = found.insert(path.trim_start_matches('.').to_owned()),
    }
}

/// A certificate carries its content as data to the obligee.
/// Before you add a field to this list, check whether the obligee may have it: no key, no address for mail of
/// the contractor, no 連絡事項, nothing of 保証料 and 再預託.
#[test]
fn certificate_data_contains_only_fields_for_obligees() {
    let mut found = BTreeSet::new();
    for (_, content) in samples::certificates() {
        paths(&serde_json::from_str(&snapshots::canonical(&content)).unwrap(), "", &mut found);
    }
    let company = |path: &str| ["name", "address", "representative"].map(|field| format!("{path}.{field}"));
    let mut expected: BTreeSet<String> = [
        "number",
        "revision",
        "issued_on",
        "product",
        "medium",
        "amount",
        "expires_on",
        "bank",
        "this_year_base",
        "works.name",
        "works.number",
        "works.kind",
        "works.contract_price",
        "works.from",
        "works.to",
        "works.contract_date",
        "works.low_price",
        "works.fiscal_year",
        "principal.joint_venture",
        "obligee.code",
        "obligee.name",
        "obligee.title",
        "obligee.submission.channel",
        "obligee.submission.department",
        "obligee.submission.mail_address",
        "obligee.submission.system",
        "obligee.submission.subject",
        "surety.name",
        "surety.address",
        "surety.president",
        "surety.terms_version",
        "surety.seal",
        "branch.code",
        "branch.name",
        "branch.address",
        "branch.telephone",
        "branch.fax",
        "branch.mail_address",
    ]
    .map(str::to_owned)
    .into();
    expected.extend(company("principal.company").into_iter().chain(company("principal.members[]")));
    assert_eq!(found, expected);
}

/// The bytes of a document with its streams unpacked.
fn unpacked(pdf: &[u8]) -> Vec<u8> {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("paper.pdf");
    std::fs::write(&path, pdf).unwrap();
    let output = Command::new("qpdf")
        .args(["--qdf", "--object-streams=disable"])
        .arg(&path)
        .arg("-")
        .output()
        .unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    output.stdout
}

/// The key is on the page of the notice only.
/// No other text, metadata, attachment or name has it.
#[test]
fn only_the_notice_contains_the_key() {
    let has_key = |bytes: &[u8]| {
        let wide: Vec<u8> = KEY.encode_utf16().flat_map(u16::to_be_bytes).collect();
        bytes.windows(KEY.len()).any(|window| window == KEY.as_bytes())
            || bytes.windows(wide.len()).any(|window| window == wide)
    };
    for Drawn { name, pdf } in all() {
        let is_notice = name.starts_with("notice");
        assert_eq!(read_back(&pdf).0.contains(KEY), is_notice, "{name}");
        assert!(is_notice || !has_key(&unpacked(&pdf)), "{name}: the key is outside of the page's text");
        assert!(!about(&pdf).contains(KEY), "{name}: the metadata has the key");
    }
}

/// The information dictionary and the metadata of a file.
fn about(pdf: &[u8]) -> String {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("paper.pdf");
    std::fs::write(&path, pdf).unwrap();
    let said = |options: &[&str]| {
        String::from_utf8(Command::new("pdfinfo").args(options).arg(&path).output().unwrap().stdout).unwrap()
    };
    said(&[]) + &said(&["-meta"])
}

#[test]
fn pdf_metadata_describes_the_document() {
    let (_, cancellation) = samples::cancellations().remove(2);
    let content = &cancellation.certificate;
    let electronic = Certificate { medium: hosho_schema::messages::MediumV1::Electronic, ..content.clone() };
    for (pdf, title) in [
        (notice_of(&electronic), "電子保証にかかる「認証キー」のお知らせ 31075-00002M 変更－2"),
        (certificate_of(content), "保証証書（中間前払金保証） 31075-00002M 変更－2"),
        (
            renderer().cancellation(&cancellation, created()).unwrap(),
            "保証契約の解約のお知らせ 31075-00002M 変更－2",
        ),
    ] {
        let said = about(&pdf);
        for expected in [title, "中間前払金保証", &content.surety.name] {
            assert!(said.contains(expected), "{expected}: {said}");
        }
    }
}
