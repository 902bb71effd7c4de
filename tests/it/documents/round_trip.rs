//! What goes into a document comes back out of it, stands where it should, and breaks where it may.

use std::collections::{BTreeMap, BTreeSet};

use hosho::documents::{renderer::RenderError, templates::TEMPLATES};
use hosho_schema::snapshots::{Certificate, Channel};
use proptest::test_runner::{Config, RngAlgorithm, TestRng, TestRunner};
use rayon::prelude::*;

use super::{
    KEY, REGISTRY, certificate, created, press, size,
    texts::{contents, drawable, shown, standard},
    tool,
};

/// Characters that begin no line, and those that end none: what every style of Japanese typesetting agrees on.
const NEVER_FIRST: &str =
    "、。，．・：；？！）」』】〉》〕］｝々ゝゞヽヾーぁぃぅぇぉっゃゅょゎァィゥェォッャュョヮヵヶ｡､｣";
const NEVER_LAST: &str = "（「『【〈《〔［｛｢";

/// Every text of a content that its notice shows.
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

/// Every text of a content that its certificate shows.
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

/// A word of a page: left, top, right, bottom in points, and its text.
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

/// Left and right margin of a template, points.
fn margins(template: &str) -> [f64; 2] {
    let (_, text) = TEMPLATES.iter().find(|(name, _)| *name == template).unwrap();
    let (_, margin) = text.split_once("margin=\"").unwrap();
    // Top, right, bottom, left; from the end, because the top may depend on the content.
    let sides: Vec<&str> = margin.split('"').next().unwrap().rsplit(' ').collect();
    let points = |side: &str| side.strip_suffix("mm").unwrap().parse::<f64>().unwrap() * 72.0 / 25.4;
    [points(sides[0]), points(sides[2])]
}

/// Words stand within the margins (a line's last punctuation may hang out of them) and never on one another.
fn assert_placed(template: &str, words: &[Word]) {
    let [left, right] = margins(template);
    for (number, word) in words.iter().enumerate() {
        let [from, top, to, bottom] = word.edges;
        let hangs = word.text.ends_with(['、', '。', '，', '．']);
        // The empty half of an opening bracket may stand before the line.
        let left = if word.text.starts_with(|first| NEVER_LAST.contains(first)) { left - 10.0 } else { left };
        let edge = 595.28 - right + if hangs { 12.0 } else { 1.0 };
        assert!(from >= left - 1.0 && to <= edge, "{} leaves its page sideways: {:?}", word.text, word.edges);
        assert!(
            top >= 12.0 && bottom <= 841.89 - 12.0,
            "{} comes near the edge, where printers do not print: {:?}",
            word.text,
            word.edges
        );
        for other in &words[number + 1..] {
            let [also_from, also_top, also_to, also_bottom] = other.edges;
            let (across, down) =
                (to.min(also_to) - from.max(also_from), bottom.min(also_bottom) - top.max(also_top));
            let collides = word.page == other.page && across > 3.0 && down > 3.0;
            assert!(
                !collides,
                "{} and {} stand on one another: {:?} {:?}",
                word.text, other.text, word.edges, other.edges
            );
        }
    }
}

fn assert_breaks_well(text: &str) {
    for line in text.split(['\n', '\u{c}']).filter(|line| !line.is_empty()) {
        // The mark of an item of a template's list stands before its words.
        let item: Option<String> = line.strip_prefix('・').map(|words| words.chars().take(5).collect());
        let line = if item.is_some_and(|item| TEMPLATES.iter().any(|(_, text)| text.contains(&item))) {
            &line['・'.len_utf8()..]
        } else {
            line
        };
        assert!(!line.starts_with(|first| NEVER_FIRST.contains(first)), "a line begins badly: {line}");
        assert!(!line.ends_with(|last| NEVER_LAST.contains(last)), "a line ends badly: {line}");
    }
}

/// Judges a document by its text and by where its words stand.
fn assert_comes_back(template: &str, pdf: &[u8], expected: &[&str]) {
    let raw = tool("pdftotext", &["-raw", "-enc", "UTF-8", "FILE", "-"], pdf);
    let text = shown(&raw);
    for expected in expected {
        assert!(text.contains(&shown(expected)), "{expected} does not come back:\n{raw}");
    }
    assert_breaks_well(&raw);
    assert_placed(template, &words(pdf));
    let keys = raw.split_whitespace().filter(|word| *word == KEY).count();
    assert_eq!(
        keys,
        usize::from(expected.contains(&KEY)),
        "the key is not one word, or stands where it must not"
    );
}

/// The cells of a document as its structure tells them: what stands beside each head.
fn cells(pdf: &[u8]) -> BTreeMap<String, String> {
    let mut cells: BTreeMap<String, String> = BTreeMap::new();
    let mut head = String::new();
    // How far the cell is indented that is open, and whether it is a head.
    let mut open: Option<(usize, bool)> = None;
    for line in tool("pdfinfo", &["-struct-text", "FILE"], pdf).lines() {
        let words = line.trim();
        let indent = line.len() - line.trim_start().len();
        match (words.strip_prefix('"').and_then(|line| line.strip_suffix('"')), open) {
            (Some(text), Some((_, true))) => text.clone_into(&mut head),
            (Some(text), Some((_, false))) => cells.entry(head.clone()).or_default().push_str(text),
            (Some(_), None) => {}
            (None, _) if words.starts_with("TH") || words.starts_with("TD") => {
                open = Some((indent, words.starts_with("TH")))
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
    let notice = press().notice(content, KEY, REGISTRY, created()).unwrap();
    assert_comes_back("notice/notice", &notice, &on_notice(content));
    let drawn =
        press().certificate(content, &hosho_schema::snapshots::canonical(content), created()).unwrap();
    assert_comes_back(template(content), &drawn, &on_certificate(content));
}

/// Texts without what nothing shows, white space as it is.
fn exact(text: &str) -> String {
    let wide: String =
        text.chars().map(|character| if character == '\u{3000}' { ' ' } else { character }).collect();
    wide.split(' ').map(shown).collect::<Vec<_>>().join(" ")
}

fn assert_cells(content: &Certificate) {
    let notice = cells(&press().notice(content, KEY, REGISTRY, created()).unwrap());
    let cell =
        |label: &str| notice.get(label).unwrap_or_else(|| panic!("no cell {label}: {:?}", notice.keys()));
    assert_eq!(shown(cell("工事名")), shown(&content.works.name));
    assert_eq!(cell("認証キー"), KEY);
    assert_eq!(exact(cell("保証契約番号")), content.number);
    let drawn = cells(
        &press().certificate(content, &hosho_schema::snapshots::canonical(content), created()).unwrap(),
    );
    assert_eq!(shown(&drawn["工事名"]), shown(&content.works.name));
    // Short enough for one line: white space comes back as well.
    if content.obligee.title.chars().count() <= 20 {
        assert_eq!(exact(&drawn["被保証者"]), exact(&content.obligee.title));
    }
    assert_eq!(drawn["保証契約番号"], content.number);
}

/// Runs a property on several threads; what fails is told by the thread of the test, whose output is shown.
fn hold(cases: u32, property: fn(&Certificate)) {
    let seed: u64 = std::env::var("HOSHO_DRILL_SEED")
        .ok()
        .map_or(1, |seed| seed.parse().expect("HOSHO_DRILL_SEED is a number"));
    let judge = |thread: u64| {
        let config = Config {
            cases: cases.div_ceil(4),
            failure_persistence: None,
            max_shrink_iters: 40,
            ..Config::default()
        };
        let choices = [seed, thread, 0, 0].map(u64::to_be_bytes).concat();
        let rng = TestRng::from_seed(RngAlgorithm::ChaCha, &choices);
        let judged = TestRunner::new_with_rng(config, rng).run(&contents(), |content| {
            property(&content);
            Ok(())
        });
        judged.err().map(|failure| format!("HOSHO_DRILL_SEED={seed}: {failure}"))
    };
    let failures: Vec<String> = (0_u64..4).into_par_iter().filter_map(judge).collect();
    assert!(failures.is_empty(), "{}", failures.join("\n"));
}

#[test]
fn every_field_of_generated_contents_comes_back() {
    hold(size("HOSHO_DRILL_TEXTS", 1200), assert_round_trip);
}

#[test]
fn the_structure_tells_what_stands_beside_each_label() {
    hold(size("HOSHO_DRILL_TEXTS", 1200) / 20, assert_cells);
}

#[test]
fn every_character_of_the_standards_comes_back_or_is_refused_beforehand() {
    assert!(standard().len() > 11_000, "{} characters", standard().len());
    let missing: Vec<&String> =
        standard().iter().filter(|text| !press().fonts().missing(text).is_empty()).collect();
    // Rare kanji of plane 2 for the most part, and accents that need a shaper.
    println!("no face draws {} of {}", missing.len(), standard().len());
    assert!(missing.len() < standard().len() / 5, "{} of {}", missing.len(), standard().len());
    let drawn: Vec<&String> =
        drawable().iter().filter(|text| !text.chars().all(char::is_whitespace)).collect();
    drawn.par_chunks(100).for_each(|characters| {
        let mut content = certificate();
        // Apart, because what combines with its neighbour would be another character.
        let apart = |characters: Vec<&str>| format!("工{}地", characters.join("工"));
        content.works.name = apart(characters.iter().map(|character| character.as_str()).collect());
        content.principal.company.address =
            apart(characters.iter().rev().map(|character| character.as_str()).collect());
        let notice = press().notice(&content, KEY, REGISTRY, created()).unwrap();
        assert_comes_back("notice/notice", &notice, &on_notice(&content));
        let certificate =
            press().certificate(&content, &hosho_schema::snapshots::canonical(&content), created()).unwrap();
        assert_comes_back(template(&content), &certificate, &on_certificate(&content));
    });
    missing.par_iter().for_each(|text| assert!(refused(text), "{text:?} is missing and was drawn"));
}

/// Whether a text is refused in drawing.
fn refused(text: &str) -> bool {
    let mut content = certificate();
    content.works.name = format!("工{text}地");
    match press().notice(&content, KEY, REGISTRY, created()) {
        Ok(_) => false,
        Err(RenderError::Draw { .. }) => true,
        Err(error) => panic!("{error}"),
    }
}

#[test]
fn what_no_face_draws_is_known_beforehand_and_nothing_else_is_refused() {
    let (mut drawn, mut missing) = (0, 0);
    let every = size("HOSHO_DRILL_TEXTS", 1200).clamp(1000, 65_536);
    let sample: BTreeSet<char> =
        (0..0x3_0000_u32).step_by((0x3_0000 / every) as usize).filter_map(char::from_u32).collect();
    let judged: Vec<bool> = sample
        .par_iter()
        .map(|&character| {
            let is_missing = !press().fonts().missing(&String::from(character)).is_empty();
            assert_eq!(refused(&String::from(character)), is_missing, "U+{:04X}", u32::from(character));
            is_missing
        })
        .collect();
    for is_missing in judged {
        *(if is_missing { &mut missing } else { &mut drawn }) += 1;
    }
    assert!(drawn > 50 && missing > 50, "{drawn} drawn, {missing} missing");
}
