//! Documents rendered a second on one core: `make bench`.
//!
//! Complete files as the render stage stores them: template, markup, layout, tags, fonts, PDF/A. 500 contents
//! that differ in names, numbers, amounts and dates. One thread, and the allocator of the program.
//!
//! | benchmark | measures |
//! |---|---|
//! | `notice` | the notice with its QR code, PDF/A-2a; target: 1,000 a second |
//! | `certificate` | the certificate with its data attached, PDF/A-3a |
//! | `markup` | the template part of `notice` |
//! | `printpdf_default` | the same words by the example in printpdf's documentation: whole fonts, `save` |

#![allow(clippy::unwrap_used, clippy::print_stdout, reason = "a failure aborts the benchmark")]

mod choices;

use std::{hint::black_box, sync::Arc};

use choices::{Choices, FAMILIES, OBJECTS, PLACES, WORKS};
use chrono::{Days, NaiveDate, NaiveDateTime};
use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use hosho::{
    documents::{notice::NoticeContext, renderer::DocumentRenderer, templates::Templates},
    pdf::{FontPaths, Fonts, Pictures},
    reference::surety::Surety,
};
use hosho_schema::{
    money::Yen,
    snapshots::{self, Certificate},
};
use printpdf::{
    Mm, Op, ParsedFont, PdfDocument, PdfFontHandle, PdfPage, PdfSaveOptions, Point, Pt, TextItem,
};

/// Number of different contents.
const VARIANTS: usize = 500;

const REGISTRY: &str = "https://registry.example.jp/certificates";

fn contents() -> Vec<(Certificate, String)> {
    let choices = &mut Choices(5);
    (0..VARIANTS).map(|number| (content(number, choices), key(choices))).collect()
}

fn content(number: usize, choices: &mut Choices) -> Certificate {
    let mut certificate: Certificate = serde_json::from_str(include_str!("certificate.json")).unwrap();
    let price = 10_000_000 + 10_000 * i64::try_from(choices.below(90_000)).unwrap();
    let start =
        NaiveDate::from_ymd_opt(2026, 4, 1).unwrap() + Days::new(choices.below(300).try_into().unwrap());
    certificate.number = format!("31075-{:05}M", number + 1);
    certificate.amount = Yen(price * 4 / 10);
    certificate.works.contract_price = Yen(price);
    certificate.works.name = format!(
        "{}{}{}号{}",
        choices.of(&PLACES),
        choices.of(&OBJECTS),
        choices.below(400),
        choices.of(&WORKS)
    );
    certificate.works.contract_date = Some(start);
    certificate.issued_on = start + Days::new(3);
    certificate.works.from = start + Days::new(7);
    certificate.works.to = start + Days::new(300);
    certificate.expires_on = certificate.works.to;
    let company = &mut certificate.principal.company;
    company.name = format!("株式会社{}{}建設", choices.of(&PLACES), choices.of(&FAMILIES));
    company.address = format!(
        "架空県{}市{}町{}丁目{}番地",
        choices.of(&PLACES),
        choices.of(&PLACES),
        choices.below(9) + 1,
        choices.below(99) + 1
    );
    company.representative = format!(
        "代表取締役　{}　{}",
        choices.of(&FAMILIES),
        ["一郎", "花子", "三郎", "恵"][choices.below(4)]
    );
    certificate.obligee.submission.subject =
        Some(format!("【電子保証】R8-第{}号　{}", choices.below(999), certificate.works.name));
    certificate
}

/// A well-formed key of no guarantee.
fn key(choices: &mut Choices) -> String {
    (0..12).map(|_| ["C", "D", "E", "F", "H", "K", "M", "3", "7", "w", "x", "y"][choices.below(12)]).collect()
}

/// Draws lines one below another, by the example in printpdf's documentation.
fn printpdf_default(font: &ParsedFont, lines: &[String]) -> Vec<u8> {
    let mut document = PdfDocument::new("お知らせ");
    let font = document.add_font(font);
    let mut ops = vec![Op::StartTextSection];
    for (number, line) in (0_u8..).zip(lines) {
        ops.push(Op::SetFont { font: PdfFontHandle::External(font.clone()), size: Pt(10.0) });
        ops.push(Op::SetTextCursor { pos: Point { x: Pt(60.0), y: Pt(780.0 - 15.0 * f32::from(number)) } });
        ops.push(Op::ShowText { items: vec![TextItem::Text(line.clone())] });
    }
    ops.push(Op::EndTextSection);
    document.with_pages(vec![PdfPage::new(Mm(210.0), Mm(297.0), ops)]);
    document.save(&PdfSaveOptions::default(), &mut Vec::new())
}

/// The words between the tags of a template's markup.
fn lines(markup: &str) -> Vec<String> {
    let words = markup.split('<').filter_map(|part| part.split_once('>')).map(|(_, words)| words.trim());
    words.filter(|words| !words.is_empty()).map(str::to_owned).collect()
}

fn documents(criterion: &mut Criterion) {
    let paths = FontPaths::system().unwrap();
    let fonts = Arc::new(Fonts::load(&paths).unwrap());
    let renderer = DocumentRenderer::new(Arc::new(Templates::load(None).unwrap()), fonts, Pictures::new());
    let created = NaiveDateTime::default();
    let (seal, _) = Surety::sample_seal().unwrap();
    let mut contents = contents();
    for (content, _) in &mut contents {
        content.surety.seal = Some(seal.clone());
    }
    let notice =
        |(content, key): &(Certificate, String)| renderer.notice(content, key, REGISTRY, created).unwrap();
    let markup = |(content, key): &(Certificate, String)| {
        renderer.templates().render("notice/notice", &NoticeContext::new(content, key, REGISTRY)).unwrap()
    };

    let certificate = |(content, _): &(Certificate, String)| {
        renderer.certificate(content, &snapshots::canonical(content), created).unwrap()
    };
    let print_sizes = |name: &str, sizes: Vec<usize>| {
        println!(
            "{name}: {} bytes on average, at most {}",
            sizes.iter().sum::<usize>() / VARIANTS,
            sizes.iter().max().unwrap()
        );
    };
    print_sizes("notice", contents.iter().map(|content| notice(content).len()).collect());
    print_sizes("certificate", contents.iter().map(|content| certificate(content).len()).collect());

    let mut group = criterion.benchmark_group("documents");
    group.throughput(Throughput::Elements(VARIANTS as u64));
    group.sample_size(10);
    group.bench_function("notice", |bencher| {
        bencher.iter(|| contents.iter().for_each(|content| _ = black_box(notice(content))));
    });
    group.bench_function("certificate", |bencher| {
        bencher.iter(|| contents.iter().for_each(|content| _ = black_box(certificate(content))));
    });
    group.bench_function("markup", |bencher| {
        bencher.iter(|| contents.iter().for_each(|content| _ = black_box(markup(content))));
    });
    let font = ParsedFont::from_bytes(&std::fs::read(&paths.mincho[0]).unwrap(), 0, &mut Vec::new()).unwrap();
    let words = lines(&markup(&contents[0]));
    group.throughput(Throughput::Elements(1));
    group.bench_function("printpdf_default", |bencher| {
        bencher.iter(|| black_box(printpdf_default(&font, &words)));
    });
    group.finish();
}

criterion_group!(benches, documents);
criterion_main!(benches);
