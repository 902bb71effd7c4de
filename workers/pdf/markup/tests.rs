//! Mistakes, and what is said of them.

use super::*;
use crate::PdfError;

fn refusal(markup: &str) -> String {
    read(markup).err().map(|error| error.to_string()).unwrap_or_default()
}

/// What is said of the content of a page; the page's own tag takes up line 1.
fn within(content: &str) -> String {
    refusal(&format!("<page>\n{content}</page>"))
}

fn table(markup: &str) -> Table {
    match read(&format!("<page>{markup}</page>")).unwrap().blocks.remove(0).kind {
        Kind::Table(table) => table,
        _ => panic!("no table"),
    }
}

#[test]
fn mistakes_are_named_with_line_and_column() {
    for (markup, expected) in [
        ("<page>\n  <para>甲</para>\n</page>", "markup line 2, column 3: unknown element <para>"),
        (
            "<page>\n  <headin>甲</headin>\n</page>",
            "markup line 2, column 3: unknown element <headin>; did you mean <heading>?",
        ),
        ("<page>\n<p colour=\"red\">甲</p></page>", "markup line 2, column 1: <p> has no attribute colour"),
        (
            "<page>\n<p algin=\"left\">甲</p></page>",
            "markup line 2, column 1: <p> has no attribute algin; did you mean align?",
        ),
        (
            "<page><p size=\"5\">甲</p></page>",
            "markup line 1, column 7: attribute size of <p> is not a length (mm, pt or em) of 1pt or more",
        ),
        ("<page>甲</page>", "markup line 1, column 7: text directly within <page>"),
        (
            "<page><x:p xmlns:x=\"urn:a\">甲</x:p></page>",
            "markup line 1, column 7: an element of another namespace: markup has none",
        ),
        (
            "<page><p><?php 1?>甲</p></page>",
            "markup line 1, column 10: markup has no processing instructions",
        ),
        ("<page><?php 1?></page>", "markup line 1, column 7: markup has no processing instructions"),
        ("<page><p><b>甲</b></p></page>", "markup line 1, column 10: unknown element <b>"),
        (
            "<page>\n<p>甲<box/></p></page>",
            "markup line 2, column 5: <box> cannot stand within text: put the text beside it into a <p>",
        ),
        (
            "<page>\n<item>甲</item></page>",
            "markup line 2, column 1: <item> stands in <list> only, not in <page>",
        ),
        (
            "<page>\n<box><footer/></box></page>",
            "markup line 2, column 6: <footer> stands in <page> only, not in <box>",
        ),
        ("<page><qr/></page>", "markup line 1, column 7: <qr> needs data"),
        ("<p>甲</p>", "markup line 1, column 1: a document is a <page>, not <p>"),
    ] {
        assert_eq!(refusal(markup), expected);
    }
}

#[test]
fn what_is_not_xml_is_refused() {
    for markup in [
        "",
        "<page>",
        "<page>\u{B}</page>",
        "<!DOCTYPE page [<!ENTITY a \"b\">]><page/>",
        "<page>&nbsp;</page>",
        "<page>\u{FFFF}</page>",
    ] {
        assert!(matches!(read(markup), Err(PdfError::NotXml { .. })), "{markup}");
    }
}

#[test]
fn deep_nesting_is_refused() {
    for name in ["box", "em"] {
        let nested = format!("<p>{}{}</p>", format!("<{name}>").repeat(40), format!("</{name}>").repeat(40));
        let nested = if name == "box" { nested.replace("<p>", "").replace("</p>", "") } else { nested };
        assert!(within(&nested).contains("nested too deeply"), "{name}");
    }
    let deepest = format!("{}{}", "<box>".repeat(100_000), "</box>".repeat(100_000));
    assert!(within(&deepest).contains("nested too deeply"));
    let lists = format!("{}<p>甲</p>{}", "<list><item>".repeat(30), "</item></list>".repeat(30));
    assert!(within(&lists).contains("nested too deeply"));
}

#[test]
fn places_are_right_wherever_blocks_stand() {
    let markup = "<page>\n <p>甲乙</p><p>丙</p>\n\n  <box><p>丁</p>\n<p>戊</p></box><footer>己</footer>\n<p>庚</p></page>";
    let sheet = read(markup).unwrap();
    let place = |position: Position| (position.line, position.column, position.element);
    let places: Vec<_> = sheet.blocks.iter().map(|block| place(block.position)).collect();
    assert_eq!(places, [(2, 2, "p"), (2, 11, "p"), (4, 3, "box"), (6, 1, "p")]);
    assert_eq!(place(sheet.footer.unwrap().position), (5, 15, "footer"));
    let Kind::Frame { content, .. } = &sheet.blocks[2].kind else { panic!("no box") };
    assert_eq!(
        content.iter().map(|block| place(block.position)).collect::<Vec<_>>(),
        [(4, 8, "p"), (5, 1, "p")]
    );
}

#[test]
fn cells_take_the_first_free_column() {
    let found = table(
        "<table widths=\"* * *\">\
           <row head=\"yes\"><label rows=\"2\">甲</label><label columns=\"2\">乙</label></row>\
           <row head=\"yes\"><label>丙</label><label>丁</label></row>\
           <row><label>戊</label><value/><value rows=\"1\"/></row>\
         </table>",
    );
    assert_eq!(found.heads, 2);
    let cells: Vec<Vec<_>> = found
        .rows
        .iter()
        .map(|row| row.cells.iter().map(|cell| (cell.column, cell.columns, cell.rows, cell.scope)).collect())
        .collect();
    let column = Some(Scope::Column);
    assert_eq!(cells[0], [(0, 1, 2, column), (1, 2, 1, column)]);
    assert_eq!(cells[1], [(1, 1, 1, column), (2, 1, 1, column)]);
    assert_eq!(cells[2], [(0, 1, 1, Some(Scope::Row)), (1, 1, 1, None), (2, 1, 1, None)]);
}

#[test]
fn cells_that_do_not_fill_the_grid_are_refused() {
    let error = |rows: &str| within(&format!("<table widths=\"* * *\">\n{rows}</table>"));
    for (rows, expected) in [
        ("<row><value/></row>", "markup line 3, column 1: a row fills 1 of the table's 3 columns"),
        ("<row/>", "markup line 3, column 1: a row fills 0 of the table's 3 columns"),
        (
            "<row><value/><value/><value/>\n<value/></row>",
            "markup line 4, column 1: no room in the row: the table has 3 columns",
        ),
        (
            "<row><value/><value columns=\"3\"/></row>",
            "markup line 3, column 14: a cell of 3 columns from column 2 in a table of 3 columns",
        ),
        (
            "<row><value/><value rows=\"2\"/><value/></row>\n<row><value columns=\"2\"/><value/></row>",
            "markup line 4, column 6: a cell overlaps one that spans rows from above",
        ),
        (
            "<row><value/><value/><value rows=\"2\"/></row>",
            "markup line 3, column 22: a cell spans more rows than its table has",
        ),
        (
            "<row head=\"yes\"><label columns=\"2\"/><label rows=\"2\"/></row>\n<row><value/><value/></row>",
            "markup line 3, column 37: a cell spans rows from the table's head into its body",
        ),
        (
            "<row><value columns=\"3\"/></row>\n<row head=\"yes\"><label columns=\"3\"/></row>",
            "markup line 4, column 1: a head row stands at the beginning of its table",
        ),
        (
            "<row><value columns=\"0\"/></row>",
            "markup line 3, column 6: attribute columns of <value> is not a number from 1 to 99",
        ),
        (
            "<row><label spread=\"5em\"><p>甲</p></label><value/><value/></row>",
            "markup line 3, column 6: letters are spaced in a <label> that holds text and nothing else",
        ),
    ] {
        assert_eq!(error(rows), expected);
    }
}

#[test]
fn what_an_element_needs_is_said() {
    for (markup, expected) in [
        ("<key> </key>", "<key> needs at least one letter"),
        ("<key>A<em>B</em></key>", "<key> holds plain text only"),
        ("<space/>", "<space> needs a height"),
        ("<space height=\"1mm\">甲</space>", "text directly within <space>"),
        ("<rule><p/></rule>", "<rule> holds nothing, not <p>"),
        ("<image alt=\"社印\" width=\"2mm\"/>", "<image> needs the name of a picture"),
        ("<image name=\"seal\" width=\"2mm\"/>", "<image> needs alt: what it shows, in words"),
        (
            "<image name=\"seal\" alt=\" \" width=\"2mm\"/>",
            "attribute alt of <image> says what it shows: it may not be empty",
        ),
        ("<image name=\"seal\" alt=\"社印\"/>", "<image> needs a width"),
        (
            "<image name=\"seal\" alt=\"社印\" width=\"0mm\"/>",
            "attribute width of <image> is not a length (mm, pt or em) greater than zero",
        ),
        (
            "<image name=\"seal\" alt=\"社印\" width=\"1mm\" align=\"justify\"/>",
            "attribute align of <image> is not one of left, center, right",
        ),
        ("<qr data=\"x\" alt=\"\"/>", "attribute alt of <qr> says what it shows: it may not be empty"),
        ("<p>1<pages/></p>", "<pages> stands in <header> and <footer> only"),
        ("<pages/>", "<pages> stands in <header> and <footer> only"),
        ("<p>甲<br>乙</br></p>", "<br> holds nothing"),
        ("<header>甲</header><header>乙</header>", "a <page> has one <header>"),
        ("<header><p>甲</p></header>", "<p> cannot stand within text: put the text beside it into a <p>"),
        (
            "<list marker=\"circled\" start=\"20\"><item>甲</item><item>乙</item></list>",
            "a circled list ends at ⑳",
        ),
        ("<list start=\"0\"/>", "attribute start of <list> is not a number from 1 to 99"),
        ("<p leading=\"0\">甲</p>", "attribute leading of <p> is not a number from 0.5 to 10"),
        ("<p tracking=\"wide\">甲</p>", "attribute tracking of <p> is not a length (mm, pt or em)"),
    ] {
        let said = within(markup);
        assert!(said.ends_with(&format!(": {expected}")), "{markup}: {said}");
    }
    assert!(matches!(
        read("<page><image name=\"a\" alt=\"\u{202E}\" width=\"1mm\"/></page>"),
        Err(PdfError::ForbiddenCharacter { .. })
    ));
}

/// What is personal stays out of errors: they are logged.
#[test]
fn errors_do_not_repeat_the_text() {
    for markup in [
        "<p>山田太郎<b/></p>",
        "山田太郎",
        "<p size=\"山田太郎\"/>",
        "<qr data=\"x\" align=\"山田太郎\"/>",
        "<key>山田太郎<br/></key>",
    ] {
        let said = within(markup);
        assert!(!said.is_empty() && !said.contains("山田"), "{said}");
    }
}

#[test]
fn labels_of_lists_count_from_where_they_are_told() {
    let labels = |attributes: &str, items: usize| -> Vec<String> {
        let markup = format!("<page><list {attributes}>{}</list></page>", "<item>甲</item>".repeat(items));
        let Kind::List(list) = read(&markup).unwrap().blocks.remove(0).kind else { panic!("no list") };
        list.items.into_iter().map(|(label, _)| label).collect()
    };
    assert_eq!(labels("marker=\"circled\" start=\"19\"", 2), ["⑲", "⑳"]);
    assert_eq!(labels("marker=\"paren\" start=\"9\"", 2), ["（９）", "（10）"]);
    assert_eq!(labels("marker=\"decimal\"", 2), ["1.", "2."]);
    assert_eq!(labels("", 2), ["・", "・"]);
}

/// The place of every block is asked for: found anew from the start each, these would take minutes.
#[test]
fn ten_thousand_rows_on_one_line_have_their_places() {
    let row = "<row><label>工事名</label><value>橋梁補修工事</value></row>";
    let found = table(&format!("<table>{}</table>", row.repeat(10_000)));
    let last = found.rows.last().unwrap().position;
    let before = "<page><table>".len() + 9_999 * row.chars().count();
    assert_eq!((last.line, last.column as usize), (1, before + 1));
}
