//! Text within a block: spans, emphasis and line breaks.
//!
//! White space that contains a line end belongs to the layout of the template. It vanishes, or becomes one
//! space between two ASCII characters. Other spaces belong to the text and stay, except at the edges of a
//! block.
//!
//! `<pages/>` becomes the character [`PAGE_NUMBER`], because only the layout computes the numbers.

use roxmltree::Node;

use super::attributes::Attributes;
use super::blocks::{PAGE_NUMBER, Span};
use super::elements;
use super::error::{check_depth, error_at};
use crate::error::PdfError;
use crate::fonts::Typeface;
use crate::normalize::normalize;

pub(super) fn lines(node: Node, typeface: Typeface) -> Result<Vec<Vec<Span>>, PdfError> {
    read(node, typeface, false)
}

/// The same for an element that may contain `<pages/>`.
pub(super) fn margin_lines(node: Node, typeface: Typeface) -> Result<Vec<Vec<Span>>, PdfError> {
    read(node, typeface, true)
}

fn read(node: Node, typeface: Typeface, is_margin: bool) -> Result<Vec<Vec<Span>>, PdfError> {
    let mut lines = vec![Vec::new()];
    collect(node, typeface, is_margin, 0, &mut lines)?;
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

/// The text of an element that may contain nothing else.
pub(super) fn plain(node: Node) -> Result<String, PdfError> {
    let lines = lines(node, Typeface::Mincho)?;
    match <[Vec<Span>; 1]>::try_from(lines) {
        Ok([spans]) if spans.iter().all(|span| span.typeface == Typeface::Mincho) => {
            Ok(spans.into_iter().map(|span| span.text).collect())
        }
        _ => Err(error_at(node, format!("<{}> may contain only plain text", node.tag_name().name()))),
    }
}

fn push(lines: &mut [Vec<Span>], text: &str, typeface: Typeface) {
    let Some(line) = lines.last_mut() else { return };
    match line.last_mut() {
        Some(last) if last.typeface == typeface => last.text.push_str(text),
        _ => line.push(Span { text: text.to_owned(), typeface }),
    }
}

fn collect(
    node: Node,
    typeface: Typeface,
    is_margin: bool,
    depth: usize,
    lines: &mut Vec<Vec<Span>>,
) -> Result<(), PdfError> {
    check_depth(node, depth)?;
    for child in node.children() {
        if child.is_text() {
            let collapsed = collapse(child.text().unwrap_or_default());
            let normalized =
                normalize(&collapsed).map_err(|character| PdfError::ForbiddenCharacter { character })?;
            if !normalized.is_empty() {
                push(lines, &normalized, typeface);
            }
        } else if child.is_pi() {
            return Err(error_at(child, "processing instructions are not allowed"));
        } else if child.is_element() {
            let name = child.tag_name().name();
            Attributes::of(child, elements::spec_of(child)?, 0.0)?;
            match name {
                "br" | "pages" if child.children().next().is_some() => {
                    return Err(error_at(child, format!("<{name}> must be empty")));
                }
                "br" => lines.push(Vec::new()),
                "pages" if is_margin => push(lines, PAGE_NUMBER.encode_utf8(&mut [0; 4]), typeface),
                "pages" => {
                    return Err(error_at(child, "<pages> is only allowed in <header> and <footer>"));
                }
                "em" => collect(child, Typeface::Gothic, is_margin, depth + 1, lines)?,
                _ => {
                    return Err(error_at(
                        child,
                        format!("<{name}> is not allowed within text: put the text beside it into a <p>"),
                    ));
                }
            }
        }
    }
    Ok(())
}

/// Removes line ends and indentation of the template.
fn collapse(text: &str) -> String {
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

    fn read(markup: &str) -> Vec<Vec<(String, Typeface)>> {
        let document = roxmltree::Document::parse(markup).unwrap();
        let lines = lines(document.root_element(), Typeface::Mincho).unwrap();
        lines
            .into_iter()
            .map(|line| line.into_iter().map(|span| (span.text, span.typeface)).collect())
            .collect()
    }

    #[test]
    fn drops_indentation_and_keeps_other_spaces() {
        let mincho = |text: &str| vec![(text.to_owned(), Typeface::Mincho)];
        assert_eq!(read("<p>\n    電子\n    保証  A\n   B \n</p>"), [mincho("電子保証  A B")]);
        assert_eq!(read("<p>山田　 太郎<br/>  次</p>"), [mincho("山田　 太郎"), mincho("次")]);
        assert_eq!(read("<p>甲<em>乙</em></p>")[0][1], ("乙".to_owned(), Typeface::Gothic));
    }

    #[test]
    fn keeps_hostile_text_as_text() {
        assert_eq!(read("<p>&lt;b&gt; {{ }} &amp;amp;</p>")[0][0].0, "<b> {{ }} &amp;");
    }
}
