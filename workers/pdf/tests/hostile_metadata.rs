//! Metadata and tables that a sender or template chooses to break the file.

use chrono::NaiveDateTime;
use hosho_pdfa::assert_clean;

use super::{info, is_sound, made, page};
use crate::{Info, PdfError};

/// A plain page with a text in all of its metadata.
fn titled(title: &str) -> Result<Vec<u8>, PdfError> {
    let info = Info {
        title: format!("題{title}"),
        author: title.to_owned(),
        subject: title.to_owned(),
        created: NaiveDateTime::default(),
        number: "1".to_owned() + title,
        revision: i64::MIN,
        attachment: None,
    };
    made(&page("<heading>題</heading><p>甲</p><qr data=\"x\"/>"), &info)
}

#[test]
fn hostile_metadata_keeps_the_file_valid() {
    let long = "長".repeat(40_000);
    let texts = [
        "]]></dc:title><pdfaid:part>1</pdfaid:part>",
        "<?xpacket end=\"w\"?>",
        "(((\\",
        ")>>endobj",
        "\0\u{B}\r\n\t",
        "\u{FFFE}\u{FFFF}",
        "\u{202E}cod",
        "\u{FEFF}",
        "þÿ",
        "  two  spaces  ",
        "&amp;&#0;",
        "\u{10FFFD}😀",
        &long,
    ];
    for text in texts {
        let bytes = titled(text).unwrap();
        assert!(is_sound(&bytes), "{text}");
        assert_clean(&format!("titled {text:.40?}"), &bytes);
    }
}

/// No sample has empty rows beside a cell that spans them; a template may.
#[test]
fn table_with_empty_rows_stays_regular() {
    let rows =
        "<row><label rows=\"3\">甲</label><value/></row><row><value/></row><row><value>乙</value></row>";
    let markup = format!("<page><heading>題</heading><table>{rows}</table></page>");
    assert_clean("a table with empty rows", &made(&markup, &info()).unwrap());
}
