//! Text within a block: spans, emphasis and line breaks.
//!
//! White space with a line end in it belongs to the template's layout: it vanishes, or becomes one space between
//! two ASCII characters. All other spaces are the text's own and stay, those at the edges of a block excepted.
//!
//! `<pages/>` is a character in the text, because only the layout knows the numbers: a noncharacter, which no text
//! can contain.

use roxmltree::Node;

use super::attributes::{Attributes, refused};
use super::{PAGES, Span, elements};
use crate::fonts::Style;
use crate::{PdfError, text};

/// Deepest `<em>` within `<em>`.
const DEEPEST: usize = 12;

/// Reads the inline content of an element into lines of spans.
pub(super) fn lines(node: Node, style: Style) -> Result<Vec<Vec<Span>>, PdfError> {
    read(node, style, false)
}

/// The same for an element in which `<pages/>` may stand.
pub(super) fn running(node: Node, style: Style) -> Result<Vec<Vec<Span>>, PdfError> {
    read(node, style, true)
}

fn read(node: Node, style: Style, is_running: bool) -> Result<Vec<Vec<Span>>, PdfError> {
    let mut lines = vec![Vec::new()];
    collect(node, style, is_running, 0, &mut lines)?;
    for line in &mut lines {
        if let Some(first) = line.first_mut()
            && first.text.starts_with(' ')
        {
            first.text = first.text.trim_start_matches(' ').to_owned();
        }
        if let Some(last) = line.last_mut() {
            last.text.truncate(last.text.trim_end_matches(' ').len());
        }
        line.retain(|span: &Span| !span.text.is_empty());
    }
    Ok(lines)
}

/// The text of an element that holds nothing else.
pub(super) fn plain(node: Node) -> Result<String, PdfError> {
    let lines = lines(node, Style::Mincho)?;
    match <[Vec<Span>; 1]>::try_from(lines) {
        Ok([spans]) if spans.iter().all(|span| span.style == Style::Mincho) => {
            Ok(spans.into_iter().map(|span| span.text).collect())
        }
        _ => Err(refused(node, format!("<{}> holds plain text only", node.tag_name().name()))),
    }
}

fn push(lines: &mut [Vec<Span>], text: &str, style: Style) {
    let Some(line) = lines.last_mut() else { return };
    match line.last_mut() {
        Some(last) if last.style == style => last.text.push_str(text),
        _ => line.push(Span { text: text.to_owned(), style }),
    }
}

fn collect(
    node: Node,
    style: Style,
    is_running: bool,
    depth: usize,
    lines: &mut Vec<Vec<Span>>,
) -> Result<(), PdfError> {
    if depth > DEEPEST {
        return Err(refused(node, "elements are nested too deeply".to_owned()));
    }
    for child in node.children() {
        if child.is_text() {
            let collapsed = collapsed(child.text().unwrap_or_default());
            let prepared =
                text::prepared(&collapsed).map_err(|character| PdfError::ForbiddenCharacter { character })?;
            if !prepared.is_empty() {
                push(lines, &prepared, style);
            }
        } else if child.is_pi() {
            return Err(refused(child, "markup has no processing instructions".to_owned()));
        } else if child.is_element() {
            let name = child.tag_name().name();
            let form = elements::of(child)?;
            Attributes::of(child, form, 0.0)?;
            match name {
                "br" | "pages" if child.children().next().is_some() => {
                    return Err(refused(child, format!("<{name}> holds nothing")));
                }
                "br" => lines.push(Vec::new()),
                "pages" if is_running => push(lines, PAGES.encode_utf8(&mut [0; 4]), style),
                "pages" => {
                    return Err(refused(child, "<pages> stands in <header> and <footer> only".to_owned()));
                }
                "em" => collect(child, Style::Gothic, is_running, depth + 1, lines)?,
                _ => {
                    return Err(refused(
                        child,
                        format!("<{name}> cannot stand within text: put the text beside it into a <p>"),
                    ));
                }
            }
        }
    }
    Ok(())
}

/// Removes the template's line ends and indentation.
fn collapsed(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(at) = rest.find(['\n', '\r', '\t']) {
        let before = rest[..at].trim_end_matches(' ');
        let after = rest[at..].trim_start_matches([' ', '\n', '\r', '\t']);
        out.push_str(before);
        if out.ends_with(|c: char| c.is_ascii_graphic()) && after.starts_with(|c: char| c.is_ascii_graphic())
        {
            out.push(' ');
        }
        rest = after;
    }
    out.push_str(rest);
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(markup: &str) -> Vec<Vec<(String, Style)>> {
        let document = roxmltree::Document::parse(markup).unwrap();
        let lines = lines(document.root_element(), Style::Mincho).unwrap();
        lines.into_iter().map(|line| line.into_iter().map(|span| (span.text, span.style)).collect()).collect()
    }

    #[test]
    fn indentation_vanishes_and_spaces_of_the_text_stay() {
        let mincho = |text: &str| vec![(text.to_owned(), Style::Mincho)];
        assert_eq!(read("<p>\n    電子\n    保証  A\n   B \n</p>"), [mincho("電子保証  A B")]);
        assert_eq!(read("<p>山田　 太郎<br/>  次</p>"), [mincho("山田　 太郎"), mincho("次")]);
        assert_eq!(read("<p>甲<em>乙</em></p>")[0][1], ("乙".to_owned(), Style::Gothic));
    }

    #[test]
    fn hostile_text_is_text() {
        assert_eq!(read("<p>&lt;b&gt; {{ }} &amp;amp;</p>")[0][0].0, "<b> {{ }} &amp;");
    }
}
