//! The certificate.

use hosho_schema::messages::{MediumV1, ProductV1};

use crate::documents::tests::*;
use crate::domain::wareki;

/// The texts that each certificate must contain.
fn expected(content: &Certificate) -> Vec<String> {
    let Certificate { works, principal, surety, branch, .. } = content;
    let product = labels::product(content.product);
    let mut expected = vec![
        format!("発行日{}", wareki::format(content.issued_on)),
        format!("保証証書（{product}）"),
        format!("保証契約番号{}", content.number),
        format!("被保証者{}", content.obligee.title),
        format!("保証金額（総額）{}", content.amount),
        format!("保証期限{}", wareki::format(content.expires_on)),
        format!("工事名{}", works.name),
        format!("請負金額（総額）{}", works.contract_price),
        format!("工期{}から{}まで", wareki::format(works.from), wareki::format(works.to)),
        format!("請負契約日{}", works.contract_date.map(wareki::format).unwrap_or_default()),
        format!("{product}約款（{}）の定めるところに従い", surety.terms_version),
        format!("{}{}{}", surety.address, surety.name, surety.president),
        format!("取扱箇所{}{}TEL{}FAX{}", branch.name, branch.address, branch.telephone, branch.fax),
        "遅滞なく取扱箇所へお知らせください".to_owned(),
    ];
    let printed = |company: &hosho_schema::snapshots::Company| {
        format!("{}{}{}", company.address, company.name, company.representative)
    };
    expected.push(match &principal.joint_venture {
        None => format!("保証契約者{}", printed(&principal.company)),
        Some(name) => {
            format!(
                "保証契約者{name}{}代表者{}{}",
                principal.company.address, principal.company.name, principal.company.representative
            )
        }
    });
    if principal.members.len() > 3 {
        expected.push("構成員は別記のとおり".to_owned());
        let apart = principal.members.iter();
        expected.extend(
            apart.map(|member| format!("{}{}{}", member.name, member.representative, member.address)),
        );
    } else {
        expected.extend(principal.members.iter().map(|member| format!("構成員{}", printed(member))));
    }
    if content.product != ProductV1::Performance {
        expected.push(format!("預託金融機関{}", content.bank.as_deref().unwrap_or_default()));
        if let Some(base) = content.this_year_base {
            expected
                .push(format!("今年度対象額{base}（{}）", labels::fiscal_year(works.fiscal_year.unwrap())));
        }
    }
    if content.revision > 0 {
        let title = format!("保証証書（{product}）変更－{}", content.revision);
        expected.extend([title, "変更後の内容をすべて記載しています".to_owned()]);
    }
    expected
}

#[test]
fn certificate_contains_every_required_text() {
    for (name, content) in samples::certificates() {
        let (text, pages) = read_back(&certificate_of(&content));
        assert_eq!(pages, if content.principal.members.len() > 2 { 2 } else { 1 }, "{name}");
        let expected = expected(&content);
        assert_contains(name, &text, &expected.iter().map(String::as_str).collect::<Vec<_>>());
        assert_eq!(text.contains("変更－"), content.revision > 0, "{name}");
        assert_eq!(text.contains("預託金融機関"), content.product != ProductV1::Performance, "{name}");
        assert_eq!(text.contains("今年度"), content.this_year_base.is_some(), "{name}");
        assert_eq!(
            text.contains("締結に先立って"),
            content.product == ProductV1::Performance && content.works.contract_date.is_none(),
            "{name}"
        );
    }
}

#[test]
fn paper_differs_only_in_the_electronic_caption() {
    // With two pages, the footer of the first is in the middle of the text.
    for (name, content) in
        samples::certificates().into_iter().filter(|(_, content)| content.principal.members.len() <= 3)
    {
        let of = |medium| read_back(&certificate_of(&Certificate { medium, ..content.clone() })).0;
        let (electronic, paper) = (of(MediumV1::Electronic), of(MediumV1::Paper));
        let caption = "電子証書登録された電子データが証書の原本です。印刷したものは写しとなります。";
        assert_eq!(electronic.replacen(caption, "", 1), paper, "{name}");
        assert!(!paper.contains("電子"), "{name}");
    }
}

/// A long document continues on a second page without loss.
/// The surety signs on the first.
#[test]
fn lists_many_members_on_a_second_page() {
    let (_, content) =
        samples::certificates().into_iter().find(|(name, _)| *name == "advance-many-members").unwrap();
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("paper.pdf");
    std::fs::write(&path, certificate_of(&content)).unwrap();
    let output =
        Command::new("pdftotext").args(["-raw", "-enc", "UTF-8"]).arg(&path).arg("-").output().unwrap();
    let text = String::from_utf8(output.stdout).unwrap();
    let pages: Vec<String> = text.split_terminator('\u{c}').map(squeezed).collect();
    assert_eq!(pages.len(), 2);
    for (page, number) in pages.iter().zip(1..) {
        assert!(page.contains(&content.number) && page.contains(&format!("{number}/2")), "{page}");
    }
    assert!(
        pages[0].contains("保証いたします") && pages[0].contains(&squeezed(&content.surety.president)),
        "{}",
        pages[0]
    );
    assert_eq!(text.matches("別記").count(), 2, "{text}");
    let last = &content.principal.members[19];
    assert!(
        pages[1].contains(&squeezed(&last.name)) && pages[1].contains(&squeezed(&last.address)),
        "{}",
        pages[1]
    );
}

#[test]
fn prints_the_fiscal_year_of_multi_year_contracts() {
    for (name, content) in
        samples::certificates().into_iter().filter(|(_, content)| content.works.fiscal_year.is_some())
    {
        let (text, _) = read_back(&certificate_of(&content));
        assert_eq!(text.contains("令和8年度"), content.product != ProductV1::Performance, "{name}: {text}");
    }
    let mut content = samples::single();
    content.works.fiscal_year = Some(2026);
    assert_contains("without a base", &read_back(&certificate_of(&content)).0, &["対象年度令和8年度"]);
}
