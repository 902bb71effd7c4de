//! Every template with every sample is clean, and every fault is found and named.

use std::collections::BTreeSet;
use std::io::Write as _;
use std::process::{Command, Stdio};
use std::sync::{Arc, LazyLock};

use chrono::NaiveDateTime;
use lopdf::Document;

use super::faults::{CONTENT, Fault, GRAPHICS, INTERACTIVE, SYNTAX, pictured};
use super::meanings::{ATTACHMENTS, FONTS, METADATA, STRUCTURE};
use super::{assert_clean, findings};
use crate::documents::templates::{TEMPLATES, TemplateContext, Templates};
use crate::documents::{
    cancellation::CancellationContext, certificate::CertificateContext, notice::NoticeContext,
    renderer::DocumentRenderer,
};
use crate::pdf::{Attachment, FontPaths, Fonts, Info, Pictures, file};

/// A document of a template and a sample.
struct Paper {
    template: &'static str,
    name: String,
    bytes: Vec<u8>,
}

pub(super) fn press() -> &'static DocumentRenderer {
    static PRESS: LazyLock<DocumentRenderer> = LazyLock::new(|| {
        let fonts = Fonts::load(&FontPaths::system().unwrap()).unwrap();
        DocumentRenderer::new(Arc::new(Templates::load(None).unwrap()), Arc::new(fonts), Pictures::new())
    });
    &PRESS
}

fn drawn<C: TemplateContext>(is_carrier: bool) -> Vec<Paper> {
    let info = || Info {
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
    };
    let samples = C::samples();
    let pairs =
        C::TEMPLATES.iter().flat_map(|template| samples.iter().map(move |sample| (*template, sample)));
    let paper = |(template, (sample, context)): (&'static str, &(&str, C))| Paper {
        template,
        name: format!("{template} with {sample}"),
        bytes: press().draw(template, context, &info()).unwrap(),
    };
    pairs.map(paper).collect()
}

fn papers() -> &'static [Paper] {
    static PAPERS: LazyLock<Vec<Paper>> = LazyLock::new(|| {
        let mut papers = drawn::<NoticeContext>(false);
        papers.extend(drawn::<CertificateContext>(true));
        papers.extend(drawn::<CancellationContext>(false));
        papers
    });
    &PAPERS
}

fn paper(template: &str) -> &'static [u8] {
    &papers().iter().find(|paper| paper.template == template).unwrap().bytes
}

#[test]
fn every_template_with_every_sample_is_clean() {
    for paper in papers() {
        assert_clean(&paper.name, &paper.bytes);
    }
    let drawn: BTreeSet<_> = papers().iter().map(|paper| paper.template).collect();
    let listed = TEMPLATES
        .iter()
        .map(|(name, _)| *name)
        .filter(|name| !name.starts_with("partials/") && !name.starts_with("mail/"));
    assert_eq!(drawn, listed.collect(), "a template is not checked here");
}

#[test]
fn qpdf_finds_nothing_to_say() {
    for paper in papers() {
        assert!(is_sound(&paper.bytes), "{}", paper.name);
    }
    let good = paper("notice/notice");
    let at = good.windows(10).position(|window| window == b"/Type/XRef").unwrap();
    assert!(!is_sound(&[&good[..at], b"/Type/Xref", &good[at + 10..]].concat()), "qpdf accepts anything");
}

/// Whether qpdf has nothing to say, not even a warning.
pub(super) fn is_sound(bytes: &[u8]) -> bool {
    let mut file = tempfile::NamedTempFile::new().unwrap();
    file.write_all(bytes).unwrap();
    Command::new("qpdf")
        .arg("--check")
        .arg(file.path())
        .stdin(Stdio::null())
        .output()
        .unwrap()
        .status
        .success()
}

/// The document with a fault, written as ours are.
fn broken(bytes: &[u8], fault: impl Fn(&mut Document)) -> Vec<u8> {
    let mut document = Document::load_mem(bytes).unwrap();
    document.objects.retain(|_, object| {
        !super::dictionary(object).is_some_and(|about| about.has_type(b"ObjStm") || about.has_type(b"XRef"))
    });
    fault(&mut document);
    file::written(&document).unwrap()
}

/// Faults of bytes: what is replaced, the first time that it stands there.
const BYTES: [(&str, &[u8], &[u8]); 11] = [
    ("6.1.1", b"%PDF-1.7", b"%PS-1.7 "),
    ("6.1.2-1", b"%PDF-1.7", b"%PDF-1.8"),
    ("6.1.2-1", b"%PDF-1.7\n%", b"%PDF-1.7 %"),
    ("6.1.2-2", b"%\xE2\xE3\xCF\xD3", b"%abcd"),
    ("6.1.3-2", b"/Type/XRef", b"/Type/XRef/Encrypt<</Filter/Standard>>"),
    ("6.1.3-3", b"%%EOF\n", b"%%EOF\n\n"),
    ("6.1.4-1", b"startxref\n", b"startxref\r"),
    ("6.1.7.1-1", b"\nendstream", b" endstream"),
    ("6.1.7.1-2", b"stream\n", b"stream\r"),
    ("6.1.9-1", b" 0 obj\n", b" 0 obj "),
    ("6.1.9-1", b"\nendobj\n", b" endobj\n"),
];

#[test]
fn every_fault_is_found_and_named() {
    let (notice, certificate) = (paper("notice/notice"), paper("certificate/performance"));
    assert_clean("unchanged notice", &broken(notice, |_| ()));
    assert_clean("unchanged certificate", &broken(certificate, |_| ()));
    assert_clean("notice with a picture", &broken(notice, pictured));
    let mut missed = Vec::new();
    let mut found = BTreeSet::new();
    let mut judge = |number: usize, clause: &'static str, bytes: &[u8]| {
        let told: Vec<String> = findings(bytes).iter().map(ToString::to_string).collect();
        found.insert(clause);
        if !told.iter().any(|told| told.starts_with(&format!("{clause}: "))) {
            missed.push(format!("fault {number}, {clause}: {told:?}"));
        }
    };
    for (number, (clause, from, to)) in BYTES.iter().enumerate() {
        let at = notice.windows(from.len()).position(|window| window == *from).unwrap();
        judge(number, clause, &[&notice[..at], to, &notice[at + from.len()..]].concat());
    }
    let tables: [(&[Fault], &[u8]); 8] = [
        (SYNTAX, notice),
        (CONTENT, notice),
        (GRAPHICS, notice),
        (INTERACTIVE, notice),
        (FONTS, notice),
        (METADATA, notice),
        (STRUCTURE, notice),
        (ATTACHMENTS, certificate),
    ];
    for (faults, good) in tables {
        for (number, (clause, fault)) in faults.iter().enumerate() {
            judge(number, clause, &broken(good, fault));
        }
    }
    assert!(missed.is_empty(), "{}", missed.join("\n"));
    // What is checked is seen failing, but for a file of nine million objects.
    let unseen: Vec<_> =
        clauses().difference(&found).copied().filter(|clause| *clause != "6.1.13-7").collect();
    assert!(unseen.is_empty(), "no fault shows that these are found: {unseen:?}");
}

/// The clauses that the checks name.
fn clauses() -> BTreeSet<&'static str> {
    let checks = [
        include_str!("mod.rs"),
        include_str!("attachments.rs"),
        include_str!("content.rs"),
        include_str!("fonts.rs"),
        include_str!("graphics.rs"),
        include_str!("interactive.rs"),
        include_str!("metadata.rs"),
        include_str!("structure.rs"),
        include_str!("syntax.rs"),
    ];
    let texts = checks.iter().flat_map(|check| check.split('"').skip(1).step_by(2));
    let is_clause = |text: &&str| {
        let (clause, rule) = text.split_once('-').unwrap_or((text, "1"));
        let is_number = |part: &str| !part.is_empty() && part.bytes().all(|byte| byte.is_ascii_digit());
        clause.split('.').count() > 1 && clause.split('.').all(is_number) && is_number(rule)
    };
    texts.filter(is_clause).collect()
}

#[test]
fn the_documentation_lists_every_clause_that_is_checked() {
    let told = include_str!("../../../docs/pdfa.md");
    let words: BTreeSet<&str> =
        told.split(|letter: char| !letter.is_ascii_digit() && letter != '.' && letter != '-').collect();
    let untold: Vec<_> = clauses().into_iter().filter(|clause| !words.contains(clause)).collect();
    assert!(untold.is_empty(), "docs/pdfa.md does not tell of {untold:?}");
}
