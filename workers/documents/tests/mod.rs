//! Documents, rendered and extracted again.

mod cancellation;
mod certificate;
mod notice;
mod secrets;

use std::collections::BTreeSet;
use std::path::Path;
use std::process::Command;
use std::sync::OnceLock;

use std::sync::Arc;

use chrono::NaiveDateTime;
use hosho_schema::snapshots::{self, Cancellation, Certificate};
use rayon::prelude::*;

use super::catalog;
use super::renderer::{DocumentRenderer, RenderError};
use super::samples::{self, KEY, REGISTRY};
use super::templates::Templates;
use crate::domain::labels;
use crate::pdf::{FontPaths, Fonts, Pictures};

/// A renderer with the templates of the working tree.
pub(super) fn renderer() -> &'static DocumentRenderer {
    static RENDERER: OnceLock<DocumentRenderer> = OnceLock::new();
    RENDERER.get_or_init(|| {
        let fonts = Fonts::load(&FontPaths::system().unwrap()).unwrap();
        let templates =
            Templates::load(Some(&Path::new(env!("CARGO_MANIFEST_DIR")).join("templates"))).unwrap();
        DocumentRenderer::new(Arc::new(templates), Arc::new(fonts), Pictures::new())
    })
}

fn created() -> NaiveDateTime {
    chrono::NaiveDate::from_ymd_opt(2026, 7, 1).unwrap().and_hms_opt(3, 4, 5).unwrap()
}

pub(super) fn notice_of(certificate: &Certificate) -> Vec<u8> {
    renderer().notice(certificate, KEY, REGISTRY, created()).unwrap()
}

fn certificate_of(content: &Certificate) -> Vec<u8> {
    certificate(content).unwrap()
}

/// Renders a certificate like the render stage.
fn certificate(content: &Certificate) -> Result<Vec<u8>, RenderError> {
    renderer().certificate(content, &snapshots::canonical(content), created())
}

pub(super) struct Drawn {
    /// A file name for template and sample.
    pub(super) name: String,
    pub(super) pdf: Vec<u8>,
}

/// Every template with every sample that fits it.
pub(super) fn all() -> Vec<Drawn> {
    let name = |template: &str, sample: &str| format!("{}--{sample}", template.replace('/', "-"));
    let mut tasks: Vec<Box<dyn Fn() -> Drawn + Send + Sync>> = Vec::new();
    for (sample, content) in samples::certificates() {
        let name = name(super::certificate::template(content.product), sample);
        tasks.push(Box::new(move || Drawn { name: name.clone(), pdf: certificate_of(&content) }));
    }
    for (sample, content) in samples::notices() {
        let name = name(super::notice::TEMPLATE, sample);
        tasks.push(Box::new(move || Drawn { name: name.clone(), pdf: notice_of(&content) }));
    }
    for (sample, cancellation) in samples::cancellations() {
        let name = name(super::cancellation::TEMPLATE, sample);
        tasks.push(Box::new(move || Drawn {
            name: name.clone(),
            pdf: renderer().cancellation(&cancellation, created()).unwrap(),
        }));
    }
    tasks.par_iter().map(|task| task()).collect()
}

/// Text without the line ends and spaces of the layout, and number of pages.
fn read_back(pdf: &[u8]) -> (String, usize) {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("paper.pdf");
    std::fs::write(&path, pdf).unwrap();
    let output =
        Command::new("pdftotext").args(["-raw", "-enc", "UTF-8"]).arg(&path).arg("-").output().unwrap();
    let text = String::from_utf8(output.stdout).unwrap();
    let pages = text.matches('\u{c}').count();
    (squeezed(&text), pages)
}

/// Removes white space, and variation selectors, which some faces cannot show.
fn squeezed(text: &str) -> String {
    text.chars()
        .filter(|character| !character.is_whitespace() && !matches!(character, '\u{E0100}'..='\u{E01EF}'))
        .collect()
}

fn assert_contains(name: &str, text: &str, expected: &[&str]) {
    for expected in expected {
        assert!(text.contains(&squeezed(expected)), "{name} lacks {expected}: {text}");
    }
}

#[test]
fn samples_have_unique_names_and_limits() {
    let certificates = samples::certificates();
    assert!(certificates.iter().any(|(_, content)| content.works.name.chars().count() == 120));
    assert!(
        KEY.len() == crate::keys::KEY_LENGTH
            && KEY.bytes().all(|symbol| crate::keys::ALPHABET.contains(&symbol))
    );
    let names = certificates
        .iter()
        .map(|(name, _)| *name)
        .chain(samples::notices().into_iter().map(|(name, _)| name));
    let mut names: Vec<_> = names.chain(samples::cancellations().into_iter().map(|(name, _)| name)).collect();
    let count = names.len();
    names.sort_unstable();
    names.dedup();
    assert_eq!(names.len(), count);
}

/// Electronic or paper, new or amended, one company or several, signed or not.
#[test]
fn samples_cover_every_variant() {
    use hosho_schema::messages::{MediumV1::*, ProductV1::*};
    for product in [AdvancePayment, InterimAdvancePayment, Performance] {
        let of_product: Vec<_> = samples::certificates()
            .into_iter()
            .map(|(_, content)| content)
            .filter(|it| it.product == product)
            .collect();
        let has = |what: &str, fits: &dyn Fn(&Certificate) -> bool| {
            assert!(of_product.iter().any(fits), "{product:?}: {what}");
        };
        for medium in [Electronic, Paper] {
            has("new", &|it| it.medium == medium && it.revision == 0);
            has("amended", &|it| it.medium == medium && it.revision > 0);
        }
        has("joint venture", &|it| it.principal.joint_venture.is_some());
        has("multi-year", &|it| {
            it.works.fiscal_year.is_some() && it.this_year_base.is_some() == (product != Performance)
        });
        if product == Performance {
            has("unsigned", &|it| it.works.contract_date.is_none());
        }
    }
    assert!(samples::notices().iter().all(|(_, content)| content.medium == Electronic));
}

#[test]
fn prints_hostile_names_as_text() {
    let mut certificate = samples::single();
    "工事{{number}}<b>太字</b>&amp;<!-- -->\"'".clone_into(&mut certificate.works.name);
    "<p>{{> partials/certificate_head}}".clone_into(&mut certificate.principal.company.name);
    for pdf in [notice_of(&certificate), certificate_of(&certificate)] {
        let (text, _) = read_back(&pdf);
        assert!(text.contains("工事{{number}}<b>太字</b>&amp;<!---->\"'"), "{text}");
        assert!(text.contains("<p>{{>partials/certificate_head}}"), "{text}");
    }
}

/// The longest texts that `domain::application` accepts, on however many pages.
#[test]
fn draws_the_longest_texts() {
    let text = |length: usize| "弥".repeat(length);
    let mut content = samples::single();
    let company =
        hosho_schema::snapshots::Company { name: text(120), address: text(160), representative: text(80) };
    content.principal = hosho_schema::snapshots::Principal {
        joint_venture: Some(text(120)),
        company: company.clone(),
        members: vec![company.clone(); 20],
    };
    (content.works.name, content.bank) = (text(120), Some(text(80)));
    let (certificate, _) = read_back(&certificate_of(&content));
    assert_eq!(certificate.matches('弥').count(), 21 * (120 + 160 + 80) + 120 + 120 + 80);
    assert_contains("notice", &read_back(&notice_of(&content)).0, &[KEY, &content.number, "以上"]);
    let (_, cancellation) = samples::cancellations().remove(0);
    let cancellation = Cancellation { certificate: content.clone(), ..cancellation };
    assert!(renderer().cancellation(&cancellation, created()).is_ok());
    content.principal.members.truncate(3);
    assert_eq!(
        read_back(&certificate_of(&content)).0.matches('弥').count(),
        4 * (120 + 160 + 80) + 120 + 120 + 80
    );
}

#[test]
fn undrawable_character_fails_without_quoting_the_text() {
    let mut content = samples::single();
    content.works.name.push('\u{10FFFD}');
    let error = certificate(&content).unwrap_err();
    assert_eq!(error.to_string(), "cannot draw template certificate/advance_payment, row 工事名");
    let RenderError::Draw { source, .. } = error else { panic!("{error}") };
    assert_eq!(source.to_string(), "no configured font has a glyph for \u{10FFFD} (U+10FFFD)");
    "甲\u{B}乙".clone_into(&mut content.works.name);
    assert!(matches!(certificate(&content), Err(RenderError::Draw { .. })));
}

#[test]
fn error_names_a_missing_seal() {
    let mut content = samples::single();
    let sha256 = "0".repeat(64);
    content.surety.seal = Some(sha256.clone());
    let (_, cancellation) = samples::cancellations().remove(0);
    let cancellation = Cancellation { certificate: content.clone(), ..cancellation };
    for error in [certificate(&content), renderer().cancellation(&cancellation, created())] {
        let error = error.unwrap_err();
        assert!(
            matches!(&error, RenderError::NoSeal { .. }) && error.to_string().contains(&sha256),
            "{error}"
        );
    }
    // A notice carries none.
    notice_of(&content);
}

#[test]
fn same_document_has_the_same_bytes() {
    let (_, content) = samples::certificates().remove(8);
    assert_eq!(certificate_of(&content), certificate_of(&content));
    assert_eq!(notice_of(&content), notice_of(&content));
}

#[test]
fn draws_every_template_with_every_sample() {
    let drawn: BTreeSet<String> = all().into_iter().map(|drawn| drawn.name).collect();
    let wanted = catalog::documents().flat_map(|(family, template)| {
        let name = move |sample| format!("{}--{sample}", template.replace('/', "-"));
        family.samples(template).into_iter().map(name)
    });
    assert_eq!(drawn, wanted.collect());
}

/// Run it with `HOSHO_PAPERS=<folder> cargo test --lib documents::tests`.
#[test]
fn writes_samples_to_a_folder() {
    let Some(folder) = std::env::var_os("HOSHO_PAPERS") else { return };
    for Drawn { name, pdf } in all() {
        std::fs::write(Path::new(&folder).join(format!("{name}.pdf")), pdf).unwrap();
    }
}
