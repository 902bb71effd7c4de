//! Positions of elements, pages, and errors of documents that do not fit.

use std::sync::Arc;

use super::*;
use crate::display_list::{Element, Owner, Page, Run, Scope, Tag};
use crate::picture::Picture;
use crate::test_fonts;

const MARGIN: f64 = 20.0 * 72.0 / 25.4;
const HEIGHT: f64 = 297.0 * 72.0 / 25.4;

fn pictures() -> Pictures {
    // Twice as wide as high.
    let mut file = Vec::new();
    let mut encoder = png::Encoder::new(&mut file, 2, 1);
    encoder.set_color(png::ColorType::Grayscale);
    encoder.write_header().unwrap().write_image_data(&[0, 255]).unwrap();
    Pictures::from([("seal".to_owned(), Arc::new(Picture::png(&file).unwrap()))])
}

fn lay_out_content(content: &str) -> Result<DisplayList, PdfError> {
    let markup = format!("<page margin=\"20mm\" text=\"10pt\" leading=\"2\">{content}</page>");
    lay_out(&markup, test_fonts(), &pictures())
}

fn shown(content: &str) -> DisplayList {
    lay_out_content(content).unwrap()
}

fn error(content: &str) -> String {
    lay_out_content(content).err().map(|error| error.to_string()).unwrap_or_default()
}

fn runs(page: &Page) -> Vec<&Run> {
    page.elements
        .iter()
        .filter_map(|element| if let Element::Text(run) = element { Some(run) } else { None })
        .collect()
}

/// The text of each page, of one owner or of all.
fn texts(list: &DisplayList, only: Option<Owner>) -> Vec<String> {
    let text = |page| {
        runs(page)
            .iter()
            .filter(|run| only.is_none_or(|owner| run.owner == owner))
            .map(|run| run.text())
            .collect()
    };
    list.pages.iter().map(text).collect()
}

/// The text of each page that belongs to the structure.
fn content(list: &DisplayList) -> Vec<String> {
    let text = |page| {
        runs(page).iter().filter(|run| matches!(run.owner, Owner::Node(_))).map(|run| run.text()).collect()
    };
    list.pages.iter().map(text).collect()
}

fn lines_of(count: usize) -> String {
    (0..count).map(|at| format!("<p>行{at};</p>")).collect::<Vec<_>>().concat()
}

/// The number of lines of 20 points on a page.
fn fit() -> usize {
    let count = content(&shown(&lines_of(100)))[0].matches(';').count();
    assert_eq!(count, 36);
    count
}

#[test]
fn header_and_footer_number_the_pages() {
    let markup = format!(
        "<header first=\"no\">保証証書　<pages/></header><footer align=\"right\">若葉支店（<pages/>）</footer>{}",
        lines_of(2 * fit() + 1)
    );
    let found = shown(&markup);
    assert_eq!(texts(&found, Some(Owner::Header)), ["", "保証証書　2 / 3", "保証証書　3 / 3"]);
    assert_eq!(
        texts(&found, Some(Owner::Footer)),
        ["若葉支店（1 / 3）", "若葉支店（2 / 3）", "若葉支店（3 / 3）"]
    );
    for page in &found.pages {
        for run in runs(page) {
            match run.owner {
                Owner::Header => assert!(run.at.1 < MARGIN && run.at.1 > 8.0, "{run:?}"),
                Owner::Footer => assert!(run.at.1 > HEIGHT - MARGIN && run.at.1 < HEIGHT, "{run:?}"),
                _ => assert!(run.at.1 > MARGIN && run.at.1 < HEIGHT - MARGIN, "{run:?}"),
            }
        }
    }
    // Without <pages/>, the number follows the footer if there are several pages.
    assert_eq!(
        texts(&shown(&format!("<footer>甲</footer>{}", lines_of(fit() + 1))), Some(Owner::Footer)),
        ["甲　　1 / 2", "甲　　2 / 2"]
    );
    assert_eq!(texts(&shown("<footer>甲</footer><p>乙</p>"), Some(Owner::Footer)), ["甲"]);
    assert_eq!(texts(&shown("<footer>全<pages/>頁</footer><p>乙</p>"), Some(Owner::Footer)), ["全1 / 1頁"]);
}

#[test]
fn rejects_header_and_footer_that_overflow() {
    let tall = "甲<br/>".repeat(5);
    assert_eq!(
        error(&format!("\n<header>{tall}</header>")),
        "markup line 2, column 1: the header does not fit into the top margin: it is 67.2pt tall, the limit is 35.1pt"
    );
    assert_eq!(
        error(&format!("\n <footer>{tall}</footer>")),
        "markup line 2, column 2: the footer does not fit into the bottom margin: it ends 32.1pt below the paper"
    );
}

#[test]
fn repeats_table_heads_as_decoration() {
    let head = "<row head=\"yes\"><label columns=\"2\">工種一覧</label></row><row head=\"yes\"><label>工種</label><label>数量</label></row>";
    let rows = (0..80)
        .map(|at| format!("<row><label>種{at};</label><value>量{at};</value></row>"))
        .collect::<Vec<_>>()
        .concat();
    let found = shown(&format!("<table widths=\"* *\">{head}{rows}</table>"));
    assert!(found.pages.len() > 2, "{}", found.pages.len());
    let repeated = texts(&found, Some(Owner::Decoration));
    assert_eq!(repeated[0], "");
    assert!(repeated[1..].iter().all(|text| text == "工種一覧工種数量"), "{repeated:?}");
    let text = content(&found);
    assert_eq!(text.concat().matches("工種一覧").count(), 1);
    for at in 0..80 {
        assert_eq!(text.concat().matches(&format!("量{at};")).count(), 1, "row {at}");
    }
    // The repeated head is above the rows, and the rows stay above the margin.
    for page in &found.pages {
        let all = runs(page);
        let heads =
            all.iter().filter(|run| run.owner == Owner::Decoration).map(|run| run.at.1).fold(0.0, f64::max);
        let body = all
            .iter()
            .filter(|run| run.text().starts_with('種'))
            .map(|run| run.at.1)
            .fold(f64::MAX, f64::min);
        let end = all
            .iter()
            .filter(|run| matches!(run.owner, Owner::Node(_)))
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

#[test]
fn table_head_stays_with_the_first_row() {
    let table = "<table widths=\"* *\"><row head=\"yes\"><label>頭</label><label>部</label></row><row><label>甲</label><value>乙</value></row></table>";
    let found = shown(&format!("{}{table}", lines_of(fit() - 2)));
    assert!(content(&found)[1].starts_with("頭部甲乙"), "{:?}", content(&found));
    assert_eq!(texts(&found, Some(Owner::Decoration)), ["", ""]);
}

#[test]
fn keeps_tied_rows_on_one_page() {
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
        error(&format!("\n<table>{many}</table>"))
            .starts_with("markup line 2, column 8: a table row, with the rows tied")
    );
}

#[test]
fn cell_spans_its_columns_and_rows() {
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
    // The line between the rows begins after the cell that spans them: no line crosses a cell.
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
fn prevents_single_lines_of_a_paragraph() {
    let sentence = "この保証契約は、約款の定めるところによります。".repeat(7);
    let alone = runs(&shown(&format!("<p align=\"left\">{sentence}</p>")).pages[0]).len();
    assert!(alone >= 4, "{alone}");
    for before in fit() - 6..=fit() {
        let found = shown(&format!("{}<p align=\"left\">{sentence}</p>", lines_of(before)));
        for page in &found.pages {
            let count = runs(page)
                .iter()
                .filter(|run| !run.text().ends_with(';') && matches!(run.owner, Owner::Node(_)))
                .count();
            assert_ne!(count, 1, "after {before} lines: {:?}", content(&found));
        }
    }
    // A heading stays with two lines.
    for before in fit() - 2..fit() {
        let found = shown(&format!(
            "{}<heading level=\"2\" size=\"10pt\" leading=\"2\">題</heading><p align=\"left\">{sentence}</p>",
            lines_of(before)
        ));
        assert!(!content(&found)[0].contains('題'), "after {before} lines");
    }
}

#[test]
fn tracked_text_keeps_the_rules_of_line_breaking() {
    let found = shown("<p tracking=\"0.5em\" align=\"right\">工事名</p>");
    let run = runs(&found.pages[0])[0];
    assert_eq!(run.glyphs.iter().map(|glyph| glyph.pad).collect::<Vec<_>>(), [500, 500, 0]);
    assert!((run.width - 40.0).abs() < 0.01, "{}", run.width);
    assert!((run.at.0 + run.width - (210.0 * 72.0 / 25.4 - MARGIN)).abs() < 0.01);
    let text = "電子証書、保証契約番号「31074-00001M」をご確認ください。".repeat(3);
    let found = shown(&format!("<p tracking=\"1em\">{text}</p>"));
    assert_eq!(content(&found).concat(), text);
    for run in runs(&found.pages[0]) {
        assert!(run.at.0 + run.width <= 210.0 * 72.0 / 25.4 - MARGIN + 0.01, "{run:?}");
        assert!(!run.text().starts_with(['、', '。', '」']) && !run.text().ends_with('「'), "{}", run.text());
    }
    assert!(error("<p tracking=\"9000mm\">甲乙</p>").contains("more than 30em"));
    assert!(
        error("<table widths=\"30pt *\"><row><label size=\"20pt\" tracking=\"1em\">甲乙</label><value/></row></table>")
            .contains("narrower than a glyph")
    );
}

#[test]
fn spreads_glyphs_over_a_width() {
    let label = |text: &str, width: &str| {
        format!("<table><row><label size=\"10pt\" spread=\"{width}\">{text}</label><value/></row></table>")
    };
    for (text, width, pad) in [("工事名", 5.0, 1000), ("保証契約番号", 6.0, 0), ("期限", 6.0, 4000)]
    {
        let found = shown(&label(text, &format!("{width}em")));
        let run = runs(&found.pages[0])[0];
        assert_eq!(run.glyphs[0].pad, pad, "{text}");
        assert_eq!(run.glyphs.last().unwrap().pad, 0);
        assert!((run.width - 10.0 * width).abs() < 0.1, "{}", run.width);
    }
    let one = shown(&label("印", "5em"));
    assert!((runs(&one.pages[0])[0].at.0 - MARGIN - 6.0 - 20.0).abs() < 0.01);
    assert!(error(&label("保証契約番号", "5em")).contains("more than its attribute spread of 50.0pt"));
    assert!(error(&label("工事名", "90em")).contains("attribute spread is 900.0pt; the cell is"));
}

#[test]
fn seal_overlaps_and_stays_with_block_above() {
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
    // The next block follows below the picture.
    let next = runs(&found.pages[0]).iter().find(|run| run.text() == "次").unwrap().at.1;
    assert!((next - (y + 30.0 + 5.0 + 8.8)).abs() < 0.01, "{next}");
    assert!(found.tree.nodes().iter().any(|node| node.tag == Tag::Figure { alternative: "社印".to_owned() }));
    for before in fit() - 3..=fit() {
        let found = shown(&format!("<space height=\"5pt\"/>{}{markup}", lines_of(before)));
        for (page, text) in found.pages.iter().zip(content(&found)) {
            assert_eq!(image(page).is_some(), text.contains("社長"), "after {before} lines");
        }
    }
    // With nothing above it, and an overlap larger than the picture: never above the page or the box.
    let first = shown("<image name=\"seal\" alt=\"社印\" width=\"60pt\" overlap=\"500mm\"/><p>次</p>");
    assert!((image(&first.pages[0]).unwrap().0.1 - MARGIN).abs() < 0.01);
    let boxed = shown(
        "<box padding=\"3pt\" before=\"0mm\"><space height=\"1pt\"/><image name=\"seal\" alt=\"社印\" width=\"60pt\" overlap=\"500mm\"/></box>",
    );
    assert!((image(&boxed.pages[0]).unwrap().0.1 - MARGIN - 3.0).abs() < 0.01);
    assert_eq!(
        error("\n<image name=\"stamp\" alt=\"社印\" width=\"6mm\"/>"),
        "markup line 2, column 1: no picture of the given name was supplied"
    );
    assert!(
        error("<image name=\"seal\" alt=\"社印\" width=\"300mm\"/>")
            .contains("the <image> is 850.4pt wide; 481.9pt are available")
    );
}

#[test]
fn nests_lists_with_hanging_labels() {
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
fn keeps_space_before_first_block_of_item() {
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
fn names_a_remedy_for_too_tall_pieces() {
    let tall = lines_of(60);
    for (markup, expected) in [
        (
            format!("\n<box>{tall}</box>"),
            "markup line 2, column 1: a <box> is taller than the page (1216.0pt of 728.5pt): put long content",
        ),
        (
            format!("\n<columns><column>{tall}</column></columns>"),
            "markup line 2, column 1: a <columns> is taller than the page (1200.0pt of 728.5pt): put long content",
        ),
        (
            format!("\n<table><row><label>甲</label>\n<value>{tall}</value></row></table>"),
            "markup line 2, column 8: a table row, with the rows tied to it and the repeated head, is taller than the page (909.0pt of 728.5pt): put long text",
        ),
        (
            "\n<space height=\"400mm\"/>".to_owned(),
            "markup line 2, column 1: a <space> is taller than the page (1133.9pt of 728.5pt): give it a smaller height",
        ),
    ] {
        assert!(error(&markup).starts_with(expected), "{}", error(&markup));
    }
}

#[test]
fn reading_order_follows_the_markup() {
    let found = shown(
        "<columns widths=\"* *\"><column><p>一</p><box><p>二</p></box></column><column/><column><p>三</p></column></columns>\
         <table widths=\"* *\"><row><label rows=\"2\">四</label><value>五</value></row><row><value>六</value></row></table>"
            .replace("widths=\"* *\"><column>", "widths=\"* * *\"><column>")
            .as_str(),
    );
    assert_eq!(content(&found), ["一二三四五六"]);
    let mut nodes: Vec<_> = runs(&found.pages[0])
        .iter()
        .map(|run| run.owner)
        .map(|owner| if let Owner::Node(node) = owner { node.0 } else { 0 })
        .collect();
    assert!(nodes.is_sorted() && nodes.iter().all(|node| *node > 0), "{nodes:?}");
    nodes.dedup();
    assert_eq!(nodes.len(), 6);
    // Two columns with content, and the box.
    assert_eq!(found.tree.nodes().iter().filter(|node| node.tag == Tag::Division).count(), 3);
}

#[test]
fn rejects_ten_thousand_rows() {
    let head = "<row head=\"yes\"><label>甲</label><label>乙</label></row>";
    let rows = "<row><label>丙</label><value>丁</value></row>".repeat(10_000);
    assert!(error(&format!("<table>{head}{rows}</table>")).contains("longer than 50 pages"));
}
