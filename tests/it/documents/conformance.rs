//! Every template with every sample is PDF/A and passes qpdf.

use std::collections::BTreeSet;

use chrono::NaiveDateTime;
use hosho::{
    documents::{catalog, templates::TEMPLATES},
    pdf::{Attachment, Info},
};
use hosho_pdfa::assert_clean;

use super::{is_sound, renderer};

fn info(is_carrier: bool) -> Info {
    Info {
        title: "証書（試験）".to_owned(),
        author: "みらい工事保証株式会社".to_owned(),
        subject: "前払金保証 <&> (\\)".to_owned(),
        created: NaiveDateTime::default(),
        number: "31075-00001M".to_owned(),
        revision: 1,
        attachment: is_carrier.then(|| Attachment {
            name: "certificate.json",
            description: "データ",
            media_type: "application/json",
            content: b"{\"number\":\"31075-00001M\"}".to_vec(),
        }),
    }
}

#[test]
fn every_template_passes_pdfa_and_qpdf() {
    let mut checked = BTreeSet::new();
    for (family, template) in catalog::documents() {
        for (sample, markup) in family.rendered(renderer().templates(), template) {
            let name = format!("{template} with {sample}");
            let about = info(template.starts_with("certificate/"));
            let bytes = renderer().draw_markup(template, &markup.unwrap(), &about).unwrap();
            assert_clean(&name, &bytes);
            assert!(is_sound(&bytes), "qpdf --check rejects {name}");
            checked.insert(template);
        }
    }
    let listed = TEMPLATES
        .iter()
        .map(|(name, _)| *name)
        .filter(|name| !name.starts_with("partials/") && !name.starts_with("mail/"));
    assert_eq!(checked, listed.collect(), "a template is not checked");
}
