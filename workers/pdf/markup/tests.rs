//! Faults of markup and their messages.

use super::*;
use crate::display_list::Scope;
use crate::error::PdfError;

fn error(markup: &str) -> String {
    read(markup).err().map(|error| error.to_string()).unwrap_or_default()
}

/// The error of the content of a page, which begins on line 2.
fn within(content: &str) -> String {
    error(&format!("<page>\n{content}</page>"))
}

fn table(markup: &str) -> Table {
    match read(&format!("<page>{markup}</page>")).unwrap().blocks.remove(0).kind {
        BlockKind::Table(table) => table,
        _ => panic!("no table"),
    }
}

#[test]
fn errors_name_line_and_column() {
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
            "markup line 1, column 7: attribute size of <p> must be a length (mm, pt or em) of at least 1pt",
        ),
        ("<page>甲</page>", "markup line 1, column 7: text is not allowed directly in <page>"),
        (
            "<page><x:p xmlns:x=\"urn:a\">甲</x:p></page>",
            "markup line 1, column 7: namespaces are not allowed",
        ),
        (
            "<page><p><?php 1?>甲</p></page>",
            "markup line 1, column 10: processing instructions are not allowed",
        ),
        ("<page><?php 1?></page>", "markup line 1, column 7: processing instructions are not allowed"),
        ("<page><p><b>甲</b></p></page>", "markup line 1, column 10: unknown element <b>"),
        (
            "<page>\n<p>甲<box/></p></page>",
            "markup line 2, column 5: <box> is not allowed within text: put the text beside it into a <p>",
        ),
        (
            "<page>\n<item>甲</item></page>",
            "markup line 2, column 1: <item> is only allowed in <list>, not in <page>",
        ),
        (
            "<page>\n<box><footer/></box></page>",
            "markup line 2, column 6: <footer> is only allowed in <page>, not in <box>",
        ),
        ("<page><qr/></page>", "markup line 1, column 7: <qr> requires the attribute data"),
        ("<p>甲</p>", "markup line 1, column 1: the outermost element must be <page>, not <p>"),
    ] {
        assert_eq!(error(markup), expected);
    }
}

#[test]
fn rejects_markup_that_is_not_xml() {
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
fn rejects_deep_nesting() {
    for name in ["box", "em"] {
        let nested = format!("<p>{}{}</p>", format!("<{name}>").repeat(40), format!("</{name}>").repeat(40));
        let nested = if name == "box" { nested.replace("<p>", "").replace("</p>", "") } else { nested };
        assert!(within(&nested).contains("nested more than 12 deep"), "{name}");
    }
    let deepest = format!("{}{}", "<box>".repeat(100_000), "</box>".repeat(100_000));
    assert!(within(&deepest).contains("nested more than 12 deep"));
    let lists = format!("{}<p>甲</p>{}", "<list><item>".repeat(30), "</item></list>".repeat(30));
    assert!(within(&lists).contains("nested more than 12 deep"));
}

#[test]
fn blocks_have_their_positions() {
    let markup = "<page>\n <p>甲乙</p><p>丙</p>\n\n  <box><p>丁</p>\n<p>戊</p></box><footer>己</footer>\n<p>庚</p></page>";
    let sheet = read(markup).unwrap();
    let place = |position: Position| (position.line, position.column, position.element);
    let places: Vec<_> = sheet.blocks.iter().map(|block| place(block.position)).collect();
    assert_eq!(places, [(2, 2, "p"), (2, 11, "p"), (4, 3, "box"), (6, 1, "p")]);
    assert_eq!(place(sheet.footer.unwrap().position), (5, 15, "footer"));
    let BlockKind::Frame { content, .. } = &sheet.blocks[2].kind else { panic!("no box") };
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
fn rejects_cells_that_do_not_fill_the_table() {
    let error = |rows: &str| within(&format!("<table widths=\"* * *\">\n{rows}</table>"));
    for (rows, expected) in [
        ("<row><value/></row>", "markup line 3, column 1: the row fills 1 of 3 columns"),
        ("<row/>", "markup line 3, column 1: the row fills 0 of 3 columns"),
        (
            "<row><value/><value/><value/>\n<value/></row>",
            "markup line 4, column 1: the row has no free column left: the table has 3",
        ),
        (
            "<row><value/><value columns=\"3\"/></row>",
            "markup line 3, column 14: the cell spans columns 2 to 4 of a table with 3 columns",
        ),
        (
            "<row><value/><value rows=\"2\"/><value/></row>\n<row><value columns=\"2\"/><value/></row>",
            "markup line 4, column 6: the cell overlaps a cell that spans rows from above",
        ),
        (
            "<row><value/><value/><value rows=\"2\"/></row>",
            "markup line 3, column 22: the cell spans more rows than the table has",
        ),
        (
            "<row head=\"yes\"><label columns=\"2\"/><label rows=\"2\"/></row>\n<row><value/><value/></row>",
            "markup line 3, column 37: the cell spans rows of the head and of the body",
        ),
        (
            "<row><value columns=\"3\"/></row>\n<row head=\"yes\"><label columns=\"3\"/></row>",
            "markup line 4, column 1: a head row must precede all other rows",
        ),
        (
            "<row><value columns=\"0\"/></row>",
            "markup line 3, column 6: attribute columns of <value> must be an integer from 1 to 99",
        ),
        (
            "<row><label spread=\"5em\"><p>甲</p></label><value/><value/></row>",
            "markup line 3, column 6: tracking and spread require a <label> that contains only text",
        ),
    ] {
        assert_eq!(error(rows), expected);
    }
}

#[test]
fn errors_name_what_an_element_requires() {
    for (markup, expected) in [
        ("<key> </key>", "<key> requires at least one character"),
        ("<key>A<em>B</em></key>", "<key> may contain only plain text"),
        ("<space/>", "<space> requires the attribute height"),
        ("<space height=\"1mm\">甲</space>", "text is not allowed directly in <space>"),
        ("<rule><p/></rule>", "<rule> must be empty, but contains <p>"),
        ("<image alt=\"社印\" width=\"2mm\"/>", "<image> requires the attribute name"),
        ("<image name=\"seal\" width=\"2mm\"/>", "<image> requires the attribute alt"),
        (
            "<image name=\"seal\" alt=\" \" width=\"2mm\"/>",
            "attribute alt of <image> must not be empty: it describes the picture",
        ),
        ("<image name=\"seal\" alt=\"社印\"/>", "<image> requires the attribute width"),
        (
            "<image name=\"seal\" alt=\"社印\" width=\"0mm\"/>",
            "attribute width of <image> must be a length (mm, pt or em) greater than zero",
        ),
        (
            "<image name=\"seal\" alt=\"社印\" width=\"1mm\" align=\"justify\"/>",
            "attribute align of <image> must be one of left, center, right",
        ),
        ("<qr data=\"x\" alt=\"\"/>", "attribute alt of <qr> must not be empty: it describes the picture"),
        ("<p>1<pages/></p>", "<pages> is only allowed in <header> and <footer>"),
        ("<pages/>", "<pages> is only allowed in <header> and <footer>"),
        ("<p>甲<br>乙</br></p>", "<br> must be empty"),
        ("<header>甲</header><header>乙</header>", "<page> may have only one <header>"),
        ("<header><p>甲</p></header>", "<p> is not allowed within text: put the text beside it into a <p>"),
        (
            "<list marker=\"circled\" start=\"20\"><item>甲</item><item>乙</item></list>",
            "a circled list has no marker after ⑳",
        ),
        ("<list start=\"0\"/>", "attribute start of <list> must be an integer from 1 to 99"),
        ("<p leading=\"0\">甲</p>", "attribute leading of <p> must be a number from 0.5 to 10"),
        ("<p tracking=\"wide\">甲</p>", "attribute tracking of <p> must be a length (mm, pt or em)"),
    ] {
        let message = within(markup);
        assert!(message.ends_with(&format!(": {expected}")), "{markup}: {message}");
    }
    assert!(matches!(
        read("<page><image name=\"a\" alt=\"\u{202E}\" width=\"1mm\"/></page>"),
        Err(PdfError::ForbiddenCharacter { .. })
    ));
}

/// Text is personal, and errors are logged.
#[test]
fn errors_do_not_repeat_the_text() {
    for markup in [
        "<p>山田太郎<b/></p>",
        "山田太郎",
        "<p size=\"山田太郎\"/>",
        "<qr data=\"x\" align=\"山田太郎\"/>",
        "<key>山田太郎<br/></key>",
    ] {
        let message = within(markup);
        assert!(!message.is_empty() && !message.contains("山田"), "{message}");
    }
}

#[test]
fn list_labels_count_from_the_start_attribute() {
    let labels = |attributes: &str, items: usize| -> Vec<String> {
        let markup = format!("<page><list {attributes}>{}</list></page>", "<item>甲</item>".repeat(items));
        let BlockKind::List(list) = read(&markup).unwrap().blocks.remove(0).kind else { panic!("no list") };
        list.items.into_iter().map(|(label, _)| label).collect()
    };
    assert_eq!(labels("marker=\"circled\" start=\"19\"", 2), ["⑲", "⑳"]);
    assert_eq!(labels("marker=\"paren\" start=\"9\"", 2), ["（９）", "（10）"]);
    assert_eq!(labels("marker=\"decimal\"", 2), ["1.", "2."]);
    assert_eq!(labels("", 2), ["・", "・"]);
}

/// Counted from the start of the markup for every row, they would take minutes.
#[test]
fn finds_ten_thousand_positions_in_linear_time() {
    let row = "<row><label>工事名</label><value>橋梁補修工事</value></row>";
    let found = table(&format!("<table>{}</table>", row.repeat(10_000)));
    let last = found.rows.last().unwrap().position;
    let before = "<page><table>".len() + 9_999 * row.chars().count();
    assert_eq!((last.line, last.column as usize), (1, before + 1));
}
