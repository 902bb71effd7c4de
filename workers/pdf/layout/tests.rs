//! Where things come to stand.

use std::sync::Arc;

use super::*;
use crate::display::{Page, Run, Scope};
use crate::picture::Picture;
use crate::{markup, test_fonts};

const MARGIN: f64 = 20.0 * 72.0 / 25.4;
const HEIGHT: f64 = 297.0 * 72.0 / 25.4;

fn pictures() -> Pictures {
    // Twice as wide as it is high.
    let mut file = Vec::new();
    let mut encoder = png::Encoder::new(&mut file, 2, 1);
    encoder.set_color(png::ColorType::Grayscale);
    encoder.write_header().unwrap().write_image_data(&[0, 255]).unwrap();
    Pictures::from([("seal".to_owned(), Arc::new(Picture::png(&file).unwrap()))])
}

fn laid(content: &str) -> Result<Display, PdfError> {
    let sheet =
        markup::read(&format!("<page margin=\"20mm\" text=\"10pt\" leading=\"2\">{content}</page>")).unwrap();
    display(&sheet, test_fonts(), &pictures())
}

fn shown(content: &str) -> Display {
    laid(content).unwrap()
}

fn refusal(content: &str) -> String {
    laid(content).err().map(|error| error.to_string()).unwrap_or_default()
}

fn runs(page: &Page) -> Vec<&Run> {
    page.elements
        .iter()
        .filter_map(|element| if let Element::Text(run) = element { Some(run) } else { None })
        .collect()
}

/// The text of each page, of one place or all.
fn texts(display: &Display, only: Option<Place>) -> Vec<String> {
    let text = |page| {
        runs(page)
            .iter()
            .filter(|run| only.is_none_or(|place| run.place == place))
            .map(|run| run.text())
            .collect()
    };
    display.pages.iter().map(text).collect()
}

/// Text on the page of all that is content.
fn content(display: &Display) -> Vec<String> {
    let text = |page| {
        runs(page).iter().filter(|run| matches!(run.place, Place::Node(_))).map(|run| run.text()).collect()
    };
    display.pages.iter().map(text).collect()
}

fn lines_of(count: usize) -> String {
    (0..count).map(|at| format!("<p>行{at};</p>")).collect::<Vec<_>>().concat()
}

/// How many lines of 20 points a page holds.
fn fit() -> usize {
    let count = content(&shown(&lines_of(100)))[0].matches(';').count();
    assert_eq!(count, 36);
    count
}

#[test]
fn header_and_footer_number_the_pages_and_are_no_content() {
    let markup = format!(
        "<header first=\"no\">保証証書　<pages/></header><footer align=\"right\">若葉支店（<pages/>）</footer>{}",
        lines_of(2 * fit() + 1)
    );
    let found = shown(&markup);
    assert_eq!(texts(&found, Some(Place::Header)), ["", "保証証書　2 / 3", "保証証書　3 / 3"]);
    assert_eq!(
        texts(&found, Some(Place::Footer)),
        ["若葉支店（1 / 3）", "若葉支店（2 / 3）", "若葉支店（3 / 3）"]
    );
    for page in &found.pages {
        for run in runs(page) {
            match run.place {
                Place::Header => assert!(run.at.1 < MARGIN && run.at.1 > 8.0, "{run:?}"),
                Place::Footer => assert!(run.at.1 > HEIGHT - MARGIN && run.at.1 < HEIGHT, "{run:?}"),
                _ => assert!(run.at.1 > MARGIN && run.at.1 < HEIGHT - MARGIN, "{run:?}"),
            }
        }
    }
    // Nobody asked for numbers: they stand behind the footer when there are several pages.
    assert_eq!(
        texts(&shown(&format!("<footer>甲</footer>{}", lines_of(fit() + 1))), Some(Place::Footer)),
        ["甲　　1 / 2", "甲　　2 / 2"]
    );
    assert_eq!(texts(&shown("<footer>甲</footer><p>乙</p>"), Some(Place::Footer)), ["甲"]);
    assert_eq!(texts(&shown("<footer>全<pages/>頁</footer><p>乙</p>"), Some(Place::Footer)), ["全1 / 1頁"]);
}

#[test]
fn a_header_or_footer_that_does_not_fit_is_an_error_with_its_place() {
    let tall = "甲<br/>".repeat(5);
    assert_eq!(
        refusal(&format!("\n<header>{tall}</header>")),
        "markup line 2, column 1: the header does not fit into the top margin"
    );
    assert_eq!(
        refusal(&format!("\n <footer>{tall}</footer>")),
        "markup line 2, column 2: the footer does not fit into the bottom margin"
    );
}

#[test]
fn a_table_repeats_its_head_on_every_page_for_the_eye_only() {
    let head = "<row head=\"yes\"><label columns=\"2\">工種一覧</label></row><row head=\"yes\"><label>工種</label><label>数量</label></row>";
    let rows = (0..80)
        .map(|at| format!("<row><label>種{at};</label><value>量{at};</value></row>"))
        .collect::<Vec<_>>()
        .concat();
    let found = shown(&format!("<table widths=\"* *\">{head}{rows}</table>"));
    assert!(found.pages.len() > 2, "{}", found.pages.len());
    let repeated = texts(&found, Some(Place::Ornament));
    assert_eq!(repeated[0], "");
    assert!(repeated[1..].iter().all(|text| text == "工種一覧工種数量"), "{repeated:?}");
    let text = content(&found);
    assert_eq!(text.concat().matches("工種一覧").count(), 1);
    for at in 0..80 {
        assert_eq!(text.concat().matches(&format!("量{at};")).count(), 1, "row {at}");
    }
    // What is repeated stands above the rows, and these stay above the margin.
    for page in &found.pages {
        let all = runs(page);
        let heads =
            all.iter().filter(|run| run.place == Place::Ornament).map(|run| run.at.1).fold(0.0, f64::max);
        let body = all
            .iter()
            .filter(|run| run.text().starts_with('種'))
            .map(|run| run.at.1)
            .fold(f64::MAX, f64::min);
        let end = all
            .iter()
            .filter(|run| matches!(run.place, Place::Node(_)))
            .map(|run| run.at.1)
            .fold(0.0, f64::max);
        assert!(heads < body && end < HEIGHT - MARGIN, "{heads} {body} {end}");
    }
    let scopes: Vec<_> = found
        .tree
        .nodes()
        .iter()
        .filter_map(|node| if let Tag::Head { scope, .. } = node.tag { Some(scope) } else { None })
        .collect();
    assert_eq!(scopes[..4], [Scope::Column, Scope::Column, Scope::Column, Scope::Row]);
    assert_eq!(found.tree.nodes().iter().filter(|node| node.tag == Tag::Row).count(), 82);
}

/// The head does not stay behind without a row below it.
#[test]
fn a_head_goes_with_the_first_row() {
    let table = "<table widths=\"* *\"><row head=\"yes\"><label>頭</label><label>部</label></row><row><label>甲</label><value>乙</value></row></table>";
    let found = shown(&format!("{}{table}", lines_of(fit() - 2)));
    assert!(content(&found)[1].starts_with("頭部甲乙"), "{:?}", content(&found));
    assert_eq!(texts(&found, Some(Place::Ornament)), ["", ""]);
}

#[test]
fn rows_that_a_cell_ties_together_stay_on_one_page() {
    let tied = "<row><label rows=\"3\">構成員</label><value>甲;</value></row><row><value>乙;</value></row><row><value>丙;</value></row>";
    for before in fit() - 6..fit() {
        let found = shown(&format!("{}<table>{tied}</table>", lines_of(before)));
        let with: Vec<_> = content(&found)
            .iter()
            .map(|text| text.contains("甲;") && text.contains("乙;") && text.contains("丙;"))
            .collect();
        assert_eq!(with.iter().filter(|whole| **whole).count(), 1, "{before}: {:?}", content(&found));
    }
    let many = format!(
        "<row><label rows=\"60\">甲</label><value>乙</value></row>{}",
        "<row><value>丙</value></row>".repeat(59)
    );
    assert!(
        refusal(&format!("\n<table>{many}</table>"))
            .starts_with("markup line 2, column 8: a table row, with the rows tied")
    );
}

#[test]
fn a_cell_stands_in_all_its_columns_and_rows() {
    let found = shown(
        "<table widths=\"40mm 40mm *\" border=\"grid\" padding=\"5pt\">\
         <row><label rows=\"2\" valign=\"bottom\">下</label><value valign=\"top\">上</value><value>高<br/>高<br/>高</value></row>\
         <row><value columns=\"2\" align=\"right\">右</value></row></table>",
    );
    let all = runs(&found.pages[0]);
    let at = |text: &str| all.iter().find(|run| run.text() == text).map(|run| (run.at, run.width)).unwrap();
    let (tall, short) = (3.0 * 15.0 + 10.0, 15.0 + 10.0);
    let first_line = MARGIN + 5.0 + (15.0 - 10.0) / 2.0 + 8.8;
    assert!((at("上").0.1 - first_line).abs() < 0.01, "{:?}", at("上"));
    assert!((at("下").0.1 - (first_line + tall + short - 15.0 - 10.0)).abs() < 0.01, "{:?}", at("下"));
    let ((x, _), wide) = at("右");
    assert!((x + wide - (210.0 * 72.0 / 25.4 - MARGIN - 6.0)).abs() < 0.01, "{x}");
    // The line between the rows begins behind the cell that spans them; no line runs through a cell.
    let column = 40.0 * 72.0 / 25.4;
    let inner: Vec<_> = found.pages[0]
        .elements
        .iter()
        .filter_map(|element| match element {
            Element::Line { from, to, .. }
                if (from.1 - MARGIN - tall).abs() < 0.01 && (to.1 - from.1).abs() < 0.01 =>
            {
                Some((from.0, to.0))
            }
            _ => None,
        })
        .collect();
    assert_eq!(inner.len(), 1, "{inner:?}");
    assert!((inner[0].0 - MARGIN - column).abs() < 0.01, "{inner:?}");
    let tags: Vec<_> = found.tree.nodes().iter().map(|node| node.tag.clone()).collect();
    assert!(
        tags.contains(&Tag::Head { scope: Scope::Row, columns: 1, rows: 2 })
            && tags.contains(&Tag::Cell { columns: 2, rows: 1 })
    );
    assert!(
        shown("<table border=\"none\"><row><label>甲</label><value>乙</value></row></table>").pages[0]
            .elements
            .iter()
            .all(|element| matches!(element, Element::Text(_)))
    );
}

#[test]
fn no_line_of_a_paragraph_stands_alone() {
    let sentence = "この保証契約は、約款の定めるところによります。".repeat(7);
    let alone = runs(&shown(&format!("<p align=\"left\">{sentence}</p>")).pages[0]).len();
    assert!(alone >= 4, "{alone}");
    for before in fit() - 6..=fit() {
        let found = shown(&format!("{}<p align=\"left\">{sentence}</p>", lines_of(before)));
        for page in &found.pages {
            let count = runs(page)
                .iter()
                .filter(|run| !run.text().ends_with(';') && matches!(run.place, Place::Node(_)))
                .count();
            assert_ne!(count, 1, "after {before} lines: {:?}", content(&found));
        }
    }
    // A heading takes two lines along.
    for before in fit() - 2..fit() {
        let found = shown(&format!(
            "{}<heading level=\"2\" size=\"10pt\" leading=\"2\">題</heading><p align=\"left\">{sentence}</p>",
            lines_of(before)
        ));
        assert!(!content(&found)[0].contains('題'), "after {before} lines");
    }
}

#[test]
fn letters_stand_apart_and_lines_break_where_they_must() {
    let found = shown("<p tracking=\"0.5em\" align=\"right\">工事名</p>");
    let run = runs(&found.pages[0])[0];
    assert_eq!(run.letters.iter().map(|letter| letter.pad).collect::<Vec<_>>(), [500, 500, 0]);
    assert!((run.width - 40.0).abs() < 0.01, "{}", run.width);
    assert!((run.at.0 + run.width - (210.0 * 72.0 / 25.4 - MARGIN)).abs() < 0.01);
    let text = "電子証書、保証契約番号「31074-00001M」をご確認ください。".repeat(3);
    let found = shown(&format!("<p tracking=\"1em\">{text}</p>"));
    assert_eq!(content(&found).concat(), text);
    for run in runs(&found.pages[0]) {
        assert!(run.at.0 + run.width <= 210.0 * 72.0 / 25.4 - MARGIN + 0.01, "{run:?}");
        assert!(!run.text().starts_with(['、', '。', '」']) && !run.text().ends_with('「'), "{}", run.text());
    }
    assert!(refusal("<p tracking=\"9000mm\">甲乙</p>").contains("further apart"));
    assert!(
        refusal("<table widths=\"30pt *\"><row><label size=\"20pt\" tracking=\"1em\">甲乙</label><value/></row></table>")
            .contains("narrower")
    );
}

#[test]
fn letters_are_spread_over_a_width() {
    let label = |text: &str, width: &str| {
        format!("<table><row><label size=\"10pt\" spread=\"{width}\">{text}</label><value/></row></table>")
    };
    for (text, width, pad) in [("工事名", 5.0, 1000), ("保証契約番号", 6.0, 0), ("期限", 6.0, 4000)]
    {
        let found = shown(&label(text, &format!("{width}em")));
        let run = runs(&found.pages[0])[0];
        assert_eq!(run.letters[0].pad, pad, "{text}");
        assert_eq!(run.letters.last().unwrap().pad, 0);
        assert!((run.width - 10.0 * width).abs() < 0.1, "{}", run.width);
    }
    let one = shown(&label("印", "5em"));
    assert!((runs(&one.pages[0])[0].at.0 - MARGIN - 6.0 - 20.0).abs() < 0.01);
    assert!(refusal(&label("保証契約番号", "5em")).contains("wider than the width they are spread over"));
    assert!(refusal(&label("工事名", "90em")).contains("wider than their cell"));
}

#[test]
fn a_seal_rises_over_what_stands_above_and_stays_with_it() {
    let image = |page: &Page| {
        page.elements.iter().find_map(|element| {
            if let Element::Picture { at, size, .. } = element { Some((*at, *size)) } else { None }
        })
    };
    let markup = "<p>社名</p><p>社長</p><image name=\"seal\" alt=\"社印\" width=\"60pt\" align=\"right\" overlap=\"25pt\" before=\"0mm\"/><p>次</p>";
    let found = shown(markup);
    let ((x, y), size) = image(&found.pages[0]).unwrap();
    assert_eq!(size, (60.0, 30.0));
    assert!((x + 60.0 - (210.0 * 72.0 / 25.4 - MARGIN)).abs() < 0.01);
    assert!((y - (MARGIN + 40.0 - 25.0)).abs() < 0.01, "{y}");
    // What follows stands below the picture.
    let next = runs(&found.pages[0]).iter().find(|run| run.text() == "次").unwrap().at.1;
    assert!((next - (y + 30.0 + 5.0 + 8.8)).abs() < 0.01, "{next}");
    assert!(found.tree.nodes().iter().any(|node| node.tag == Tag::Figure { alternative: "社印".to_owned() }));
    for before in fit() - 3..=fit() {
        let found = shown(&format!("<space height=\"5pt\"/>{}{markup}", lines_of(before)));
        for (page, text) in found.pages.iter().zip(content(&found)) {
            assert_eq!(image(page).is_some(), text.contains("社長"), "after {before} lines");
        }
    }
    // Nothing above, and more than all of it: never above the page or the box.
    let first = shown("<image name=\"seal\" alt=\"社印\" width=\"60pt\" overlap=\"500mm\"/><p>次</p>");
    assert!((image(&first.pages[0]).unwrap().0.1 - MARGIN).abs() < 0.01);
    let boxed = shown(
        "<box padding=\"3pt\" before=\"0mm\"><space height=\"1pt\"/><image name=\"seal\" alt=\"社印\" width=\"60pt\" overlap=\"500mm\"/></box>",
    );
    assert!((image(&boxed.pages[0]).unwrap().0.1 - MARGIN - 3.0).abs() < 0.01);
    assert_eq!(
        refusal("\n<image name=\"stamp\" alt=\"社印\" width=\"6mm\"/>"),
        "markup line 2, column 1: there is no picture of that name"
    );
    assert!(refusal("<image name=\"seal\" alt=\"社印\" width=\"300mm\"/>").contains("wider than its place"));
}

#[test]
fn lists_stand_within_lists_and_labels_hang() {
    let found = shown(
        "<list marker=\"decimal\" start=\"98\" before=\"3mm\"><item>甲</item><item><p before=\"2mm\">乙</p>\
         <list marker=\"paren\"><item>丙</item><item></item></list></item></list>",
    );
    assert_eq!(content(&found), ["98.甲99.乙（１）丙（２）"]);
    let all = runs(&found.pages[0]);
    let x = |text: &str| all.iter().find(|run| run.text() == text).unwrap().at.0 - MARGIN;
    // The blank half of an opening bracket may hang over the edge.
    assert!(x("98.").abs() < 0.01 && x("甲") > x("98.") + 12.0, "{} {}", x("98."), x("甲"));
    assert!(
        x("（１）") < x("乙") + 0.01 && x("丙") - x("乙") > 29.9,
        "{} {} {}",
        x("（１）"),
        x("乙"),
        x("丙")
    );
    let parents: Vec<_> = found
        .tree
        .nodes()
        .iter()
        .map(|node| found.tree.nodes()[node.parent.0 as usize].tag.clone())
        .collect();
    let lists: Vec<_> =
        found.tree.nodes().iter().zip(parents).filter(|(node, _)| matches!(node.tag, Tag::List(_))).collect();
    assert_eq!(lists.len(), 2);
    assert_eq!(lists[1].1, Tag::Body);
    assert_eq!(found.tree.nodes().iter().filter(|node| node.tag == Tag::Label).count(), 4);
}

#[test]
fn the_space_before_the_first_block_of_an_item_is_kept() {
    let y = |markup: &str| {
        let found = shown(markup);
        let all = runs(&found.pages[0]).into_iter().map(|run| (run.text(), run.at.1)).collect::<Vec<_>>();
        all.iter().find(|(text, _)| text == "乙").unwrap().1 - all[0].1
    };
    assert!((y("<p>甲</p><list before=\"10pt\"><item>乙</item></list>") - 30.0).abs() < 0.01);
    assert!(
        (y("<p>甲</p><list before=\"10pt\"><item><p before=\"7pt\">乙</p></item></list>") - 37.0).abs()
            < 0.01
    );
    let second =
        "<list gap=\"4pt\" before=\"0mm\"><item>甲</item><item><p before=\"7pt\">乙</p></item></list>";
    assert!((y(second) - 31.0).abs() < 0.01);
}

#[test]
fn what_is_taller_than_a_page_is_named_with_what_helps() {
    let tall = lines_of(60);
    for (markup, expected) in [
        (
            format!("\n<box>{tall}</box>"),
            "markup line 2, column 1: a <box> is taller than the page: what is longer",
        ),
        (
            format!("\n<columns><column>{tall}</column></columns>"),
            "markup line 2, column 1: <columns> are taller than the page",
        ),
        (
            format!("\n<table><row><label>甲</label>\n<value>{tall}</value></row></table>"),
            "markup line 2, column 8: a table row, with the rows tied to it and the repeated head, is taller than the page: long text",
        ),
        (
            "\n<space height=\"400mm\"/>".to_owned(),
            "markup line 2, column 1: a <space> is taller than the page: give it a smaller height",
        ),
    ] {
        assert!(refusal(&markup).starts_with(expected), "{}", refusal(&markup));
    }
}

#[test]
fn reading_order_is_the_order_of_the_markup() {
    let found = shown(
        "<columns widths=\"* *\"><column><p>一</p><box><p>二</p></box></column><column/><column><p>三</p></column></columns>\
         <table widths=\"* *\"><row><label rows=\"2\">四</label><value>五</value></row><row><value>六</value></row></table>"
            .replace("widths=\"* *\"><column>", "widths=\"* * *\"><column>")
            .as_str(),
    );
    assert_eq!(content(&found), ["一二三四五六"]);
    let mut nodes: Vec<_> = runs(&found.pages[0])
        .iter()
        .map(|run| run.place)
        .map(|place| if let Place::Node(node) = place { node.0 } else { 0 })
        .collect();
    assert!(nodes.is_sorted() && nodes.iter().all(|node| *node > 0), "{nodes:?}");
    nodes.dedup();
    assert_eq!(nodes.len(), 6);
    // Two columns with something in them, and the box.
    assert_eq!(found.tree.nodes().iter().filter(|node| node.tag == Tag::Division).count(), 3);
}

/// More rows than any document has: an answer all the same, and soon.
#[test]
fn ten_thousand_rows_are_too_many_pages() {
    let head = "<row head=\"yes\"><label>甲</label><label>乙</label></row>";
    let rows = "<row><label>丙</label><value>丁</value></row>".repeat(10_000);
    assert!(refusal(&format!("<table>{head}{rows}</table>")).contains("longer than 50 pages"));
}
