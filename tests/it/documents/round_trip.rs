//! Extracted texts are complete, within margins, and broken by the rules.

use std::collections::{BTreeMap, BTreeSet};

use hosho::documents::{renderer::RenderError, templates::TEMPLATES};
use hosho_schema::snapshots::{Certificate, Channel};
use proptest::test_runner::{Config, RngAlgorithm, TestRng, TestRunner};
use rayon::prelude::*;

use super::{
    KEY, REGISTRY, certificate, created, renderer, size,
    texts::{contents, drawable, extracted, standard},
    tool,
};

/// Characters that must not begin a line in any style of Japanese typesetting.
const NEVER_FIRST: &str =
    "、。，．・：；？！）」』】〉》〕］｝々ゝゞヽヾーぁぃぅぇぉっゃゅょゎァィゥェォッャュョヮヵヶ｡､｣";
/// Characters that must not end a line.
const NEVER_LAST: &str = "（「『【〈《〔［｛｢";

/// Every text of a content that the notice contains.
fn on_notice(content: &Certificate) -> Vec<&str> {
    let submission = &content.obligee.submission;
    let mut texts = vec![
        content.number.as_str(),
        &content.works.name,
        &content.principal.company.name,
        &content.obligee.name,
        &content.surety.name,
        &content.branch.name,
        &content.branch.telephone,
        &content.branch.fax,
        REGISTRY,
        KEY,
    ];
    texts.extend(content.principal.joint_venture.as_deref());
    texts.extend(submission.department.as_deref());
    match submission.channel {
        Channel::Upload => texts.extend(submission.system.as_deref()),
        Channel::Mail => texts.extend(
            [&submission.mail_address, &submission.subject].into_iter().flatten().map(String::as_str),
        ),
    }
    texts
}

/// Every text of a content that the certificate contains.
fn on_certificate(content: &Certificate) -> Vec<&str> {
    let principal = &content.principal;
    let mut texts = vec![content.number.as_str(), &content.works.name, &content.obligee.title];
    for company in principal.members.iter().chain([&principal.company]) {
        texts.extend([company.name.as_str(), &company.address, &company.representative]);
    }
    texts.extend(principal.joint_venture.as_deref());
    texts.extend(content.bank.as_deref());
    texts.extend([
        content.surety.name.as_str(),
        &content.surety.address,
        &content.surety.president,
        &content.surety.terms_version,
    ]);
    texts.extend([
        content.branch.name.as_str(),
        &content.branch.address,
        &content.branch.telephone,
        &content.branch.fax,
    ]);
    texts
}

/// A word of a page; `edges` are left, top, right and bottom in points.
struct Word {
    page: usize,
    edges: [f64; 4],
    text: String,
}

fn words(pdf: &[u8]) -> Vec<Word> {
    let listed = tool("pdftotext", &["-bbox", "-enc", "UTF-8", "FILE", "-"], pdf);
    let mut page = 0;
    let mut words = Vec::new();
    for line in listed.lines().map(str::trim) {
        page += usize::from(line.starts_with("<page "));
        let Some((edges, text)) = line.strip_prefix("<word ").and_then(|line| line.split_once('>')) else {
            continue;
        };
        let edges: Vec<f64> = edges.split('"').skip(1).step_by(2).map(|edge| edge.parse().unwrap()).collect();
        words.push(Word {
            page,
            edges: edges.try_into().unwrap(),
            text: text.trim_end_matches("</word>").to_owned(),
        });
    }
    words
}

/// Left and right margin of a template, in points.
fn margins(template: &str) -> [f64; 2] {
    let (_, text) = TEMPLATES.iter().find(|(name, _)| *name == template).unwrap();
    let (_, margin) = text.split_once("margin=\"").unwrap();
    // Order: top, right, bottom, left. Split from the end, because the top may be an expression.
    let sides: Vec<&str> = margin.split('"').next().unwrap().rsplit(' ').collect();
    let points = |side: &str| side.strip_suffix("mm").unwrap().parse::<f64>().unwrap() * 72.0 / 25.4;
    [points(sides[0]), points(sides[2])]
}

/// Words are within the margins (except hanging punctuation) and do not overlap.
fn assert_placed(template: &str, words: &[Word]) {
    let [left, right] = margins(template);
    for (number, word) in words.iter().enumerate() {
        let [from, top, to, bottom] = word.edges;
        let hangs = word.text.ends_with(['、', '。', '，', '．']);
        // The empty half of an opening bracket may be left of the margin.
        let left = if word.text.starts_with(|first| NEVER_LAST.contains(first)) { left - 10.0 } else { left };
        let edge = 595.28 - right + if hangs { 12.0 } else { 1.0 };
        assert!(from >= left - 1.0 && to <= edge, "{} exceeds a side margin: {:?}", word.text, word.edges);
        assert!(
            top >= 12.0 && bottom <= 841.89 - 12.0,
            "{} is in the unprintable edge of the page: {:?}",
            word.text,
            word.edges
        );
        for other in &words[number + 1..] {
            let [also_from, also_top, also_to, also_bottom] = other.edges;
            let (across, down) =
                (to.min(also_to) - from.max(also_from), bottom.min(also_bottom) - top.max(also_top));
            let overlaps = word.page == other.page && across > 3.0 && down > 3.0;
            assert!(
                !overlaps,
                "{} and {} overlap: {:?} {:?}",
                word.text, other.text, word.edges, other.edges
            );
        }
    }
}

fn assert_line_breaks(text: &str) {
    for line in text.split(['\n', '\u{c}']).filter(|line| !line.is_empty()) {
        // The mark of a list item in a template precedes its words.
        let item: Option<String> = line.strip_prefix('・').map(|words| words.chars().take(5).collect());
        let line = if item.is_some_and(|item| TEMPLATES.iter().any(|(_, text)| text.contains(&item))) {
            &line['・'.len_utf8()..]
        } else {
            line
        };
        assert!(
            !line.starts_with(|first| NEVER_FIRST.contains(first)),
            "a line must not begin like this: {line}"
        );
        assert!(!line.ends_with(|last| NEVER_LAST.contains(last)), "a line must not end like this: {line}");
    }
}

/// Checks the text of a document and the positions of its words.
fn assert_document(template: &str, pdf: &[u8], expected: &[&str]) {
    let raw = tool("pdftotext", &["-raw", "-enc", "UTF-8", "FILE", "-"], pdf);
    let text = extracted(&raw);
    for expected in expected {
        assert!(text.contains(&extracted(expected)), "{expected} is missing:\n{raw}");
    }
    assert_line_breaks(&raw);
    assert_placed(template, &words(pdf));
    let keys = raw.split_whitespace().filter(|word| *word == KEY).count();
    assert_eq!(
        keys,
        usize::from(expected.contains(&KEY)),
        "the key is not one word, or is in a document without a key"
    );
}

/// The table cells in the structure tree of a document, by table header.
fn cells(pdf: &[u8]) -> BTreeMap<String, String> {
    let mut cells: BTreeMap<String, String> = BTreeMap::new();
    let mut header = String::new();
    // Indentation of the open cell, and whether it is a header.
    let mut open: Option<(usize, bool)> = None;
    for line in tool("pdfinfo", &["-struct-text", "FILE"], pdf).lines() {
        let words = line.trim();
        let indent = line.len() - line.trim_start().len();
        match (words.strip_prefix('"').and_then(|line| line.strip_suffix('"')), open) {
            (Some(text), Some((_, true))) => text.clone_into(&mut header),
            (Some(text), Some((_, false))) => cells.entry(header.clone()).or_default().push_str(text),
            (Some(_), None) => {}
            (None, _) if words.starts_with("TH") || words.starts_with("TD") => {
                open = Some((indent, words.starts_with("TH")));
            }
            (None, _) => open = open.filter(|(cell, _)| indent > *cell),
        }
    }
    cells
}

fn template(content: &Certificate) -> &'static str {
    match content.product {
        hosho_schema::messages::ProductV1::AdvancePayment => "certificate/advance_payment",
        hosho_schema::messages::ProductV1::InterimAdvancePayment => "certificate/interim_advance_payment",
        hosho_schema::messages::ProductV1::Performance => "certificate/performance",
    }
}

fn assert_round_trip(content: &Certificate) {
    let notice = renderer().notice(content, KEY, REGISTRY, created()).unwrap();
    assert_document("notice/notice", &notice, &on_notice(content));
    let drawn =
        renderer().certificate(content, &hosho_schema::snapshots::canonical(content), created()).unwrap();
    assert_document(template(content), &drawn, &on_certificate(content));
}

/// A text without invisible characters, but with its white space.
fn exact(text: &str) -> String {
    let wide: String =
        text.chars().map(|character| if character == '\u{3000}' { ' ' } else { character }).collect();
    wide.split(' ').map(extracted).collect::<Vec<_>>().join(" ")
}

fn assert_cells(content: &Certificate) {
    let notice = cells(&renderer().notice(content, KEY, REGISTRY, created()).unwrap());
    let cell =
        |label: &str| notice.get(label).unwrap_or_else(|| panic!("no cell {label}: {:?}", notice.keys()));
    assert_eq!(extracted(cell("工事名")), extracted(&content.works.name));
    assert_eq!(cell("認証キー"), KEY);
    assert_eq!(exact(cell("保証契約番号")), content.number);
    let drawn = cells(
        &renderer().certificate(content, &hosho_schema::snapshots::canonical(content), created()).unwrap(),
    );
    assert_eq!(extracted(&drawn["工事名"]), extracted(&content.works.name));
    // A text on one line also keeps its white space.
    if content.obligee.title.chars().count() <= 20 {
        assert_eq!(exact(&drawn["被保証者"]), exact(&content.obligee.title));
    }
    assert_eq!(drawn["保証契約番号"], content.number);
}

/// Runs a property on several threads.
/// Panics in the thread of the test, whose output is captured.
fn check_property(cases: u32, property: fn(&Certificate)) {
    let seed: u64 = std::env::var("HOSHO_DRILL_SEED")
        .ok()
        .map_or(1, |seed| seed.parse().expect("HOSHO_DRILL_SEED is a number"));
    let run = |thread: u64| {
        let config = Config {
            cases: cases.div_ceil(4),
            failure_persistence: None,
            max_shrink_iters: 40,
            ..Config::default()
        };
        let choices = [seed, thread, 0, 0].map(u64::to_be_bytes).concat();
        let rng = TestRng::from_seed(RngAlgorithm::ChaCha, &choices);
        let result = TestRunner::new_with_rng(config, rng).run(&contents(), |content| {
            property(&content);
            Ok(())
        });
        result.err().map(|failure| format!("HOSHO_DRILL_SEED={seed}: {failure}"))
    };
    let failures: Vec<String> = (0_u64..4).into_par_iter().filter_map(run).collect();
    assert!(failures.is_empty(), "{}", failures.join("\n"));
}

#[test]
fn every_generated_field_is_extracted() {
    check_property(size("HOSHO_DRILL_TEXTS", 1200), assert_round_trip);
}

#[test]
fn structure_tree_pairs_labels_with_values() {
    check_property(size("HOSHO_DRILL_TEXTS", 1200) / 20, assert_cells);
}

#[test]
fn standard_characters_are_extracted_or_rejected() {
    assert!(standard().len() > 11_000, "{} characters", standard().len());
    let missing: Vec<&String> =
        standard().iter().filter(|text| !renderer().fonts().missing(text).is_empty()).collect();
    // Mostly rare kanji of plane 2, and accents that need a shaper.
    println!("no face has {} of {}", missing.len(), standard().len());
    assert!(missing.len() < standard().len() / 5, "{} of {}", missing.len(), standard().len());
    let drawn: Vec<&String> =
        drawable().iter().filter(|text| !text.chars().all(char::is_whitespace)).collect();
    drawn.par_chunks(100).for_each(|characters| {
        let mut content = certificate();
        // Separated, because neighbours may combine to another character.
        let separated = |characters: Vec<&str>| format!("工{}地", characters.join("工"));
        content.works.name = separated(characters.iter().map(|character| character.as_str()).collect());
        content.principal.company.address =
            separated(characters.iter().rev().map(|character| character.as_str()).collect());
        let notice = renderer().notice(&content, KEY, REGISTRY, created()).unwrap();
        assert_document("notice/notice", &notice, &on_notice(&content));
        let certificate = renderer()
            .certificate(&content, &hosho_schema::snapshots::canonical(&content), created())
            .unwrap();
        assert_document(template(&content), &certificate, &on_certificate(&content));
    });
    missing.par_iter().for_each(|text| assert!(is_rejected(text), "{text:?} has no glyph and was rendered"));
}

/// Whether the renderer rejects a text.
fn is_rejected(text: &str) -> bool {
    let mut content = certificate();
    content.works.name = format!("工{text}地");
    match renderer().notice(&content, KEY, REGISTRY, created()) {
        Ok(_) => false,
        Err(RenderError::Draw { .. }) => true,
        Err(error) => panic!("{error}"),
    }
}

#[test]
fn rejects_exactly_characters_without_glyphs() {
    let (mut rendered, mut missing) = (0, 0);
    let every = size("HOSHO_DRILL_TEXTS", 1200).clamp(1000, 65_536);
    let sample: BTreeSet<char> =
        (0..0x3_0000_u32).step_by((0x3_0000 / every) as usize).filter_map(char::from_u32).collect();
    let judged: Vec<bool> = sample
        .par_iter()
        .map(|&character| {
            let is_missing = !renderer().fonts().missing(&String::from(character)).is_empty();
            assert_eq!(is_rejected(&String::from(character)), is_missing, "U+{:04X}", u32::from(character));
            is_missing
        })
        .collect();
    for is_missing in judged {
        *(if is_missing { &mut missing } else { &mut rendered }) += 1;
    }
    assert!(rendered > 50 && missing > 50, "{rendered} rendered, {missing} missing");
}
