/// No message repeats text of the document: errors are logged, and documents
/// hold personal data. Single characters are the exception.
#[derive(Debug, thiserror::Error)]
pub enum PdfError {
    /// The markup is not XML, or uses a part of XML that templates do not need.
    #[error("markup line {line}, column {column}: not well-formed XML")]
    NotXml { line: u32, column: u32, source: Box<roxmltree::Error> },
    /// An element, attribute or value is unknown or in the wrong place.
    #[error("markup line {line}, column {column}: {problem}")]
    Markup { line: u32, column: u32, problem: String },
    #[error("no configured font has a glyph for {character} (U+{:04X})", u32::from(*character))]
    MissingGlyph { character: char },
    /// A control character or a bidirectional override.
    #[error("character U+{:04X} is not allowed in a document", u32::from(*character))]
    ForbiddenCharacter { character: char },
    #[error("markup line {line}, column {column}: {problem}")]
    Overflow { line: u32, column: u32, problem: String },
    #[error("markup line {line}, column {column}: no picture of the given name was supplied")]
    NoPicture { line: u32, column: u32 },
    #[error(
        "markup line {line}, column {column}: cannot encode the data of <qr> ({length} bytes) as a QR code"
    )]
    QrCode { line: u32, column: u32, length: usize, source: qrcodegen::DataTooLong },
    /// printpdf reports a broken document as a warning and continues.
    #[error("printpdf reported a warning: {0}")]
    Warning(String),
    /// printpdf's document is not built as expected.
    #[error("the document that printpdf built has no {0}")]
    Structure(&'static str),
    #[error("cannot write the PDF file")]
    Write { source: std::io::Error },
}

const EXCERPT_LENGTH: usize = 90;

impl PdfError {
    /// The line of markup that the error is about, as `line 12: <p colour="red">`.
    /// It repeats text of the document: for samples only, never for a log.
    pub fn excerpt(&self, markup: &str) -> Option<String> {
        let (line, column) = self.position(markup)?;
        let text = markup.lines().nth(usize::try_from(line).ok()?.checked_sub(1)?)?;
        let indentation = text.chars().take_while(|character| character.is_whitespace()).count();
        // The excerpt always contains the column, with a little of the text before it.
        let start = usize::try_from(column).ok()?.saturating_sub(1 + EXCERPT_LENGTH / 3);
        let start = indentation.max(start.min(text.chars().count()));
        let shown: String = text.chars().skip(start).take(EXCERPT_LENGTH).collect();
        (!shown.is_empty()).then(|| format!("line {line}: {}", shown.trim_end()))
    }

    /// The label of the table row that the error is about.
    ///
    /// A label is text of the template: unlike an excerpt, it is fit for a log.
    pub fn row_label(&self, markup: &str) -> Option<String> {
        let (line, column) = self.position(markup)?;
        let document = roxmltree::Document::parse(markup).ok()?;
        let is_before = |at: usize| {
            let position = document.text_pos_at(at);
            (position.row, position.col) <= (line, column)
        };
        let row = document.descendants().find(|node| {
            node.has_tag_name("row") && is_before(node.range().start) && !is_before(node.range().end)
        })?;
        let label = row.children().find(|node| node.has_tag_name("label"))?;
        let text: String =
            label.descendants().filter(roxmltree::Node::is_text).filter_map(|node| node.text()).collect();
        let text = text.trim();
        (!text.is_empty()).then(|| text.to_owned())
    }

    fn position(&self, markup: &str) -> Option<(u32, u32)> {
        match self {
            Self::NotXml { line, column, .. }
            | Self::Markup { line, column, .. }
            | Self::Overflow { line, column, .. }
            | Self::QrCode { line, column, .. }
            | Self::NoPicture { line, column } => Some((*line, *column)),
            Self::MissingGlyph { character } | Self::ForbiddenCharacter { character } => {
                let (line, text) = (1..).zip(markup.lines()).find(|(_, text)| text.contains(*character))?;
                let column =
                    text.chars().take_while(|other| other != character).fold(1, |column, _| column + 1);
                Some((line, column))
            }
            Self::Warning(_) | Self::Structure(_) | Self::Write { .. } => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use crate::{Pictures, diagnose, test_fonts};

    fn excerpt(markup: &str) -> Option<String> {
        diagnose(markup, test_fonts(), &Pictures::new()).unwrap_err().excerpt(markup)
    }

    #[test]
    fn row_label_names_the_row_of_the_error() {
        let long = "甲<br/>".repeat(200);
        let row = |label: &str, value: &str| format!("<row>{label}<value>{value}</value></row>\n");
        let table = |last: &str| {
            let first = row("<label>工事名</label>", "甲");
            format!("<page><table widths=\"30% 70%\">\n{first}{last}</table></page>")
        };
        let label =
            |markup: &str| diagnose(markup, test_fonts(), &Pictures::new()).unwrap_err().row_label(markup);
        assert_eq!(label(&table(&row("<label>請負契約者</label>", &long))).unwrap(), "請負契約者");
        assert_eq!(label(&table(&row("<label>発注者</label>", "\u{10FFFD}"))).unwrap(), "発注者");
        assert_eq!(label(&table(&row("<value>乙</value>", &long))), None);
        assert_eq!(label("<page><blink/></page>"), None);
    }

    #[test]
    fn excerpt_shows_the_line_of_the_error() {
        assert_eq!(
            excerpt("<page>\n\n   <p colour=\"red\">甲</p>\n</page>").unwrap(),
            "line 3: <p colour=\"red\">甲</p>"
        );
        assert_eq!(
            excerpt("<page>\n <p>乙</p>\n <p>甲\u{10FFFD}</p></page>").unwrap(),
            "line 3: <p>甲\u{10FFFD}</p></page>"
        );
        assert_eq!(excerpt("<page>\n <p>甲\n</page>").unwrap(), "line 3: </page>");
        let long = format!("<page>{}<blink/></page>", "<p>甲</p>".repeat(500));
        let shown = excerpt(&long).unwrap();
        assert!(shown.contains("<blink/>") && shown.chars().count() < 110, "{shown}");
        assert_eq!(excerpt(""), None);
    }
}
