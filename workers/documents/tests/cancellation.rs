//! The cancellation.

use crate::documents::tests::*;
use crate::domain::wareki;

#[test]
fn cancellation_fills_one_page() {
    for (name, cancellation) in samples::cancellations() {
        let (text, pages) = read_back(&renderer().cancellation(&cancellation, created()).unwrap());
        let content = &cancellation.certificate;
        assert_eq!(pages, 1, "{name}");
        let Certificate { principal, surety, branch, .. } = content;
        let revision = labels::amendment(content.revision).unwrap_or_default();
        let contractor = match &principal.joint_venture {
            None => principal.company.name.clone(),
            Some(name) => format!("{name}代表者{}", principal.company.name),
        };
        assert_contains(
            name,
            &text,
            &[
                &format!("{}{contractor}御中", wareki::format(cancellation.notified_on)),
                "保証契約の解約のお知らせ",
                &format!("記保証契約番号{}", content.number),
                &format!("商品（保証区分）{}{revision}", labels::product(content.product)),
                &format!("発行日{}", wareki::format(content.issued_on)),
                &format!("工事名{}", content.works.name),
                &format!("請負契約者{contractor}"),
                &format!("被保証者{}", content.obligee.title),
                &format!("保証金額（総額）{}", content.amount),
                &format!("解約日{}", wareki::format(cancellation.cancelled_on)),
                &format!("解約の事由{}以上", labels::cancellation_cause(cancellation.cause)),
                &format!("{}{}{}", surety.address, surety.name, surety.president),
                &format!("取扱箇所{}{}TEL{}FAX{}", branch.name, branch.address, branch.telephone, branch.fax),
            ],
        );
        assert!(!text.contains("認証キー") && !text.contains("電子"), "{name}: {text}");
    }
}
