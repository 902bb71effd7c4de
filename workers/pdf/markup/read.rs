//! From XML to blocks.

use roxmltree::{Document, Node};

use super::attributes::{Attributes, position, refused};
use super::{Align, Block, Cell, Kind, Letters, Position, Sheet, Text, Width, inline};
use crate::pdf::PdfError;
use crate::pdf::display::{Ink, Role};
use crate::pdf::fonts::Style;

/// A4 in points.
const A4: (f64, f64) = (210.0 * 72.0 / 25.4, 297.0 * 72.0 / 25.4);

/// Boxes within boxes end here.
const DEEPEST: usize = 12;

/// Reads a whole document.
pub(in crate::pdf) fn read(markup: &str) -> Result<Sheet, PdfError> {
    let document = Document::parse(markup).map_err(|source| {
        let at = source.pos();
        PdfError::NotXml { line: at.row, column: at.col, source: Box::new(source) }
    })?;
    let page = document.root_element();
    if page.tag_name().name() != "page" {
        return Err(refused(page, format!("a document is a <page>, not <{}>", page.tag_name().name())));
    }
    let attributes = Attributes::of(page, &["size", "margin", "text", "face", "leading"], 10.5)?;
    let size = attributes.choice("size", &[("A4", A4)])?.unwrap_or(A4);
    let margins = match attributes.lengths("margin")?.as_deref() {
        None => [60.0; 4],
        Some(&[all]) => [all; 4],
        Some(&[top, right, bottom, left]) => [top, right, bottom, left],
        Some(_) => return Err(refused(page, "attribute margin of <page> is one length or four".to_owned())),
    };
    if margins[0] + margins[2] > size.1 - 72.0 || margins[1] + margins[3] > size.0 - 72.0 {
        return Err(refused(page, "the margins leave no room".to_owned()));
    }
    let letters = Letters {
        size: attributes.length("text")?.unwrap_or(10.5),
        style: attributes.face()?.unwrap_or(Style::Mincho),
        ink: Ink::Black,
        leading: attributes.number("leading")?.unwrap_or(1.6),
    };
    let footer = page.children().find(|child| child.has_tag_name("footer"));
    let footer = footer
        .map(|node| {
            let attributes = Attributes::of(node, &["size", "align"], letters.size)?;
            let small = attributes.length("size")?.unwrap_or(8.0);
            let letters = Letters { size: small, style: Style::Gothic, ink: Ink::Grey, leading: 1.4 };
            text(node, Role::Artifact, letters, attributes.align()?.unwrap_or(Align::Center), 0.0, 0.0)
        })
        .transpose()?;
    Ok(Sheet { size, margins, footer, blocks: blocks(page, letters, 0)? })
}

/// The child elements; text between them is an error.
fn elements<'a>(node: Node<'a, 'a>) -> Result<Vec<Node<'a, 'a>>, PdfError> {
    let mut elements = Vec::new();
    for child in node.children() {
        if child.is_element() {
            elements.push(child);
        } else if child.is_text() && !child.text().unwrap_or_default().trim_ascii().is_empty() {
            return Err(refused(child, format!("text directly within <{}>", node.tag_name().name())));
        }
    }
    Ok(elements)
}

/// The children of one name; others are errors.
fn only<'a>(node: Node<'a, 'a>, names: &[&str]) -> Result<Vec<Node<'a, 'a>>, PdfError> {
    let elements = elements(node)?;
    match elements.iter().find(|element| !names.contains(&element.tag_name().name())) {
        None => Ok(elements),
        Some(other) => Err(refused(
            *other,
            format!("<{}> holds <{}>, not <{}>", node.tag_name().name(), names.join("> and <"), other.tag_name().name()),
        )),
    }
}

fn blocks(node: Node, letters: Letters, depth: usize) -> Result<Vec<Block>, PdfError> {
    if depth > DEEPEST {
        return Err(refused(node, "elements are nested too deeply".to_owned()));
    }
    let is_page = node.tag_name().name() == "page";
    let elements = elements(node)?.into_iter().filter(|element| !(is_page && element.tag_name().name() == "footer"));
    elements.map(|element| block(element, letters, depth)).collect()
}

/// Blocks, or bare text as one paragraph.
fn content(node: Node, role: Role, letters: Letters, align: Align, depth: usize) -> Result<Vec<Block>, PdfError> {
    let inline = |child: Node| child.is_element() && matches!(child.tag_name().name(), "em" | "br");
    let bare = |child: Node| child.is_text() && !child.text().unwrap_or_default().trim_ascii().is_empty();
    if node.children().any(|child| inline(child) || bare(child)) {
        let text = text(node, role, letters, align, 0.0, 0.0)?;
        return Ok(vec![Block { position: position(node), before: 0.0, keep: false, kind: Kind::Text(text) }]);
    }
    blocks(node, letters, depth + 1)
}

fn text(node: Node, role: Role, letters: Letters, align: Align, indent: f64, inset: f64) -> Result<Text, PdfError> {
    Ok(Text { role, letters, align, indent, inset, lines: inline::lines(node, letters.style)? })
}

/// `size`, `face`, `ink`, `leading` over what is inherited.
fn letters(attributes: Attributes, inherited: Letters) -> Result<Letters, PdfError> {
    Ok(Letters {
        size: attributes.length("size")?.unwrap_or(inherited.size),
        style: attributes.face()?.unwrap_or(inherited.style),
        ink: attributes.ink()?.unwrap_or(inherited.ink),
        leading: attributes.number("leading")?.unwrap_or(inherited.leading),
    })
}

fn block(node: Node, around: Letters, depth: usize) -> Result<Block, PdfError> {
    let name = node.tag_name().name();
    let known: &[&str] = match name {
        "heading" => &["level", "align", "size", "face", "ink", "leading", "before"],
        "p" => &["align", "indent", "inset", "size", "face", "ink", "leading", "before", "keep"],
        "caption" => &["align", "inset", "size", "face", "ink", "leading", "before", "keep"],
        "list" => &["marker", "gap", "size", "face", "ink", "leading", "before"],
        "table" => &["widths", "border", "padding", "size", "face", "ink", "leading", "before"],
        "box" => &["border", "fill", "padding", "size", "face", "ink", "leading", "before"],
        "rule" => &["weight", "ink", "before"],
        "space" => &["height"],
        "key" => &["group", "size", "before"],
        "qr" => &["data", "size", "align", "before"],
        "columns" => &["widths", "gap", "size", "face", "ink", "leading", "before"],
        _ => return Err(refused(node, format!("unknown element <{name}>"))),
    };
    let attributes = Attributes::of(node, known, around.size)?;
    let mut keep = attributes.choice("keep", &[("next", true)])?.unwrap_or(false);
    let mut before = attributes.length("before")?;
    let kind = match name {
        "heading" => {
            keep = true;
            let level = attributes.count("level")?.unwrap_or(1).min(6);
            let base = Letters { style: Style::Gothic, size: if level == 1 { 18.0 } else { 12.0 }, leading: 1.4, ..around };
            let align = attributes.align()?.unwrap_or(if level == 1 { Align::Center } else { Align::Left });
            Kind::Text(text(node, Role::Heading(level), letters(attributes, base)?, align, 0.0, 0.0)?)
        }
        "p" => {
            let letters = letters(attributes, around)?;
            let (indent, inset) = (attributes.length("indent")?.unwrap_or(0.0), attributes.length("inset")?.unwrap_or(0.0));
            Kind::Text(text(node, Role::Paragraph, letters, attributes.align()?.unwrap_or(Align::Justify), indent, inset)?)
        }
        "caption" => {
            let base = Letters { style: Style::Gothic, size: 8.0, ink: Ink::Grey, leading: 1.45 };
            let inset = attributes.length("inset")?.unwrap_or(0.0);
            Kind::Text(text(node, Role::Caption, letters(attributes, base)?, attributes.align()?.unwrap_or(Align::Left), 0.0, inset)?)
        }
        "list" => list(node, attributes, letters(attributes, around)?, depth)?,
        "table" => table(node, attributes, letters(attributes, around)?, depth)?,
        "box" => {
            let letters = letters(attributes, around)?;
            let border = attributes.choice("border", &[("none", 0.0), ("thin", 0.5), ("thick", 1.2)])?.unwrap_or(0.5);
            let tint = attributes.choice("fill", &[("none", false), ("tint", true)])?.unwrap_or(false);
            Kind::Frame { border, tint, padding: attributes.length("padding")?.unwrap_or(8.0), content: blocks(node, letters, depth + 1)? }
        }
        "columns" => columns(node, attributes, letters(attributes, around)?, depth)?,
        "rule" | "space" => {
            only(node, &[])?;
            before = before.or(Some(0.0));
            match attributes.length("height")? {
                Some(height) => Kind::Space(height),
                None if name == "space" => return Err(refused(node, "<space> needs a height".to_owned())),
                None => Kind::Rule { weight: attributes.length("weight")?.unwrap_or(0.5), ink: attributes.ink()?.unwrap_or(Ink::Grey) },
            }
        }
        "key" => Kind::Key {
            text: inline::plain(node)?,
            group: usize::from(attributes.count("group")?.unwrap_or(4)),
            letters: Letters { size: attributes.length("size")?.unwrap_or(18.0), style: Style::Gothic, ink: Ink::Black, leading: 1.0 },
        },
        // Only <qr> is left: every other name was refused above.
        _ => code(node, attributes)?,
    };
    let before = before.unwrap_or(if matches!(kind, Kind::Text(_)) { 0.0 } else { around.size * 0.5 });
    Ok(Block { position: position(node), before, keep, kind })
}

fn code(node: Node, attributes: Attributes) -> Result<Kind, PdfError> {
    only(node, &[])?;
    let data = attributes.text("data").filter(|data| !data.is_empty());
    let Some(data) = data else { return Err(refused(node, "<qr> needs data".to_owned())) };
    let size = attributes.length("size")?.unwrap_or(70.0);
    Ok(Kind::Code { data: data.to_owned(), size, align: attributes.align()?.unwrap_or(Align::Left) })
}

fn list(node: Node, attributes: Attributes, letters: Letters, depth: usize) -> Result<Kind, PdfError> {
    #[derive(Clone, Copy)]
    enum Marker {
        Circled,
        Decimal,
        Dot,
    }
    let markers = [("circled", Marker::Circled), ("decimal", Marker::Decimal), ("dot", Marker::Dot)];
    let marker = attributes.choice("marker", &markers)?.unwrap_or(Marker::Dot);
    let mut items = Vec::new();
    for (item, number) in only(node, &["item"])?.into_iter().zip(1_u32..) {
        Attributes::of(item, &[], letters.size)?;
        let label = match marker {
            Marker::Dot => "・".to_owned(),
            Marker::Decimal => format!("{number}."),
            Marker::Circled if number <= 20 => char::from_u32(0x245F + number).unwrap_or('・').to_string(),
            Marker::Circled => return Err(refused(item, "a circled list ends at ⑳".to_owned())),
        };
        items.push((label, content(item, Role::ListBody, letters, Align::Justify, depth)?));
    }
    let inset = letters.size * if matches!(marker, Marker::Dot) { 1.0 } else { 1.5 };
    Ok(Kind::List { inset, gap: attributes.length("gap")?.unwrap_or(0.0), letters, items })
}

fn table(node: Node, attributes: Attributes, around: Letters, depth: usize) -> Result<Kind, PdfError> {
    let widths = attributes.widths("widths")?.unwrap_or_else(|| vec![Width::Fraction(0.25), Width::Rest]);
    let grid = attributes.choice("border", &[("rows", false), ("grid", true)])?.unwrap_or(false);
    let padding = attributes.length("padding")?.unwrap_or(4.5);
    let mut rows = Vec::new();
    for row in only(node, &["row"])? {
        Attributes::of(row, &[], around.size)?;
        let mut cells = Vec::new();
        for cell in only(row, &["label", "value"])? {
            let attributes = Attributes::of(cell, &["align", "size", "face", "ink"], around.size)?;
            let (role, style, align) = match cell.tag_name().name() {
                "label" => (Role::TableLabel, Style::Gothic, Align::Left),
                _ => (Role::TableValue, around.style, Align::Left),
            };
            let base = Letters { style, leading: around.leading.min(1.5), ..around };
            let align = attributes.align()?.unwrap_or(align);
            cells.push(Cell { role, content: content(cell, role, letters(attributes, base)?, align, depth)? });
        }
        if cells.len() != widths.len() {
            return Err(refused(row, format!("a row of {} cells in a table of {} columns", cells.len(), widths.len())));
        }
        rows.push(cells);
    }
    Ok(Kind::Table { widths, grid, padding, rows })
}

fn columns(node: Node, attributes: Attributes, letters: Letters, depth: usize) -> Result<Kind, PdfError> {
    let mut columns = Vec::new();
    for column in only(node, &["column"])? {
        Attributes::of(column, &[], letters.size)?;
        columns.push(blocks(column, letters, depth + 1)?);
    }
    let widths = attributes.widths("widths")?.unwrap_or_else(|| vec![Width::Rest; columns.len()]);
    if widths.len() != columns.len() {
        return Err(refused(node, format!("{} widths for {} columns", widths.len(), columns.len())));
    }
    Ok(Kind::Columns { widths, gap: attributes.length("gap")?.unwrap_or(12.0), columns })
}

impl Position {
    /// The start of a document.
    pub(in crate::pdf) const START: Self = Self { line: 1, column: 1 };
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refusal(markup: &str) -> String {
        read(markup).err().map(|error| error.to_string()).unwrap_or_default()
    }

    #[test]
    fn mistakes_are_named_with_line_and_column() {
        for (markup, expected) in [
            ("<page>\n  <para>甲</para>\n</page>", "markup line 2, column 3: unknown element <para>"),
            ("<page>\n<p colour=\"red\">甲</p></page>", "markup line 2, column 1: <p> has no attribute colour"),
            ("<page><p size=\"5\">甲</p></page>", "markup line 1, column 7: attribute size of <p> is not a length (mm, pt or em)"),
            ("<page>甲</page>", "markup line 1, column 7: text directly within <page>"),
            ("<page><p><b>甲</b></p></page>", "markup line 1, column 10: unknown element <b> within text"),
            (
                "<page><table><row><value>甲</value></row></table></page>",
                "markup line 1, column 14: a row of 1 cells in a table of 2 columns",
            ),
            ("<page><qr/></page>", "markup line 1, column 7: <qr> needs data"),
            ("<p>甲</p>", "markup line 1, column 1: a document is a <page>, not <p>"),
        ] {
            assert_eq!(refusal(markup), expected);
        }
    }

    #[test]
    fn what_is_not_xml_is_refused() {
        for markup in ["", "<page>", "<page>\u{B}</page>", "<!DOCTYPE page [<!ENTITY a \"b\">]><page/>", "<page>&nbsp;</page>"] {
            assert!(matches!(read(markup), Err(PdfError::NotXml { .. })), "{markup}");
        }
    }

    #[test]
    fn deep_nesting_is_refused() {
        let markup = format!("<page>{}{}</page>", "<box>".repeat(40), "</box>".repeat(40));
        assert!(refusal(&markup).contains("nested too deeply"));
    }
}
