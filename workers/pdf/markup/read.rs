//! Parses XML into blocks.

use std::cell::Cell;

use roxmltree::Node;

use super::attributes::Attributes;
use super::blocks::{
    Align, Block, BlockKind, ColumnWidth, Document, Image, LetterSpacing, MarginText, Position, Text,
    TextStyle,
};
use super::elements::{ElementSpec, spec_of};
use super::error::{check_depth, error_at};
use super::inline;
use crate::display_list::{Ink, Tag};
use crate::error::PdfError;
use crate::fonts::Typeface;
use crate::normalize::normalize;

const A4: (f64, f64) = (210.0 * 72.0 / 25.4, 297.0 * 72.0 / 25.4);

pub(crate) fn read(markup: &str) -> Result<Document, PdfError> {
    let document = roxmltree::Document::parse(markup).map_err(|source| {
        let at = source.pos();
        PdfError::NotXml { line: at.row, column: at.col, source: Box::new(source) }
    })?;
    let page = document.root_element();
    if page.tag_name().name() != "page" {
        return Err(error_at(
            page,
            format!("the outermost element must be <page>, not <{}>", page.tag_name().name()),
        ));
    }
    let attributes = Attributes::of(page, spec_of(page)?, 10.5)?;
    let size = attributes.choice("size", &[("A4", A4)])?.unwrap_or(A4);
    let margins = match attributes.lengths("margin")?.as_deref() {
        None => [60.0; 4],
        Some(&[all]) => [all; 4],
        Some(&[top, right, bottom, left]) => [top, right, bottom, left],
        Some(_) => return Err(error_at(page, "attribute margin of <page> must be one length or four")),
    };
    if margins[0] + margins[2] > size.1 - 72.0 || margins[1] + margins[3] > size.0 - 72.0 {
        return Err(error_at(page, "the margins leave less than 72pt of width or height"));
    }
    let style = TextStyle {
        size: attributes.size("text")?.unwrap_or(10.5),
        typeface: attributes.face()?.unwrap_or(Typeface::Mincho),
        ink: Ink::Black,
        leading: attributes.leading()?.unwrap_or(1.6),
    };
    let reader = Reader { markup, last: Cell::new((0, 1, 1)) };
    let header = reader.margin_text(page, "header", style, Align::Right)?;
    let footer = reader.margin_text(page, "footer", style, Align::Center)?;
    Ok(Document { size, margins, header, footer, blocks: reader.blocks(page, style, 0)? })
}

pub(super) struct Reader<'a> {
    markup: &'a str,
    /// Offset, line and column found last, from which the next position is counted.
    /// Counted from the start, the positions of a long document would take as long as everything else.
    last: Cell<(usize, u32, u32)>,
}

impl Reader<'_> {
    pub(super) fn position(&self, node: Node, spec: &ElementSpec) -> Position {
        let to = node.range().start;
        let (mut from, mut line, mut column) = self.last.get();
        if from > to {
            (from, line, column) = (0, 1, 1);
        }
        for character in self.markup.get(from..to).unwrap_or_default().chars() {
            (line, column) = if character == '\n' { (line + 1, 1) } else { (line, column + 1) };
        }
        self.last.set((to, line, column));
        Position { line, column, element: spec.name }
    }

    fn margin_text(
        &self,
        page: Node,
        name: &str,
        around: TextStyle,
        align: Align,
    ) -> Result<Option<MarginText>, PdfError> {
        let mut found = page.children().filter(|child| child.has_tag_name(name));
        let Some(node) = found.next() else { return Ok(None) };
        if let Some(second) = found.next() {
            return Err(error_at(second, format!("<page> may have only one <{name}>")));
        }
        let spec = spec_of(node)?;
        let position = self.position(node, spec);
        let attributes = Attributes::of(node, spec, around.size)?;
        let size = attributes.size("size")?.unwrap_or(8.0);
        let style = TextStyle { size, typeface: Typeface::Gothic, ink: Ink::Grey, leading: 1.4 };
        let on_first = attributes.choice("first", &[("yes", true), ("no", false)])?.unwrap_or(true);
        let lines = inline::margin_lines(node, style.typeface)?;
        let text = Text::new(style, attributes.align()?.unwrap_or(align), lines);
        Ok(Some(MarginText { position, on_first, text }))
    }

    pub(super) fn blocks(&self, node: Node, style: TextStyle, depth: usize) -> Result<Vec<Block>, PdfError> {
        check_depth(node, depth)?;
        let is_page = node.tag_name().name() == "page";
        let is_margin = |element: &Node| is_page && matches!(element.tag_name().name(), "header" | "footer");
        elements(node)?
            .into_iter()
            .filter(|element| !is_margin(element))
            .map(|element| self.block(element, style, depth))
            .collect()
    }

    /// The blocks of an element, or its bare text as one paragraph.
    pub(super) fn content(
        &self,
        node: Node,
        style: TextStyle,
        align: Align,
        depth: usize,
    ) -> Result<Vec<Block>, PdfError> {
        let inline = |child: Node| child.is_element() && matches!(child.tag_name().name(), "em" | "br");
        let bare = |child: Node| child.is_text() && !child.text().unwrap_or_default().trim_ascii().is_empty();
        if node.children().any(|child| inline(child) || bare(child)) {
            let position = self.position(node, spec_of(node)?);
            let text = text(node, style, align)?;
            return Ok(vec![Block { position, before: 0.0, keep: false, kind: BlockKind::Text(text) }]);
        }
        self.blocks(node, style, depth + 1)
    }

    fn block(&self, node: Node, around: TextStyle, depth: usize) -> Result<Block, PdfError> {
        let spec = spec_of(node)?;
        let position = self.position(node, spec);
        let attributes = Attributes::of(node, spec, around.size)?;
        let mut keep = attributes.choice("keep", &[("next", true)])?.unwrap_or(false);
        let kind = match spec.name {
            "heading" | "p" | "caption" => {
                keep |= spec.name == "heading";
                BlockKind::Text(paragraph(node, spec, attributes, around)?)
            }
            "list" => BlockKind::List(self.list(node, attributes, text_style(attributes, around)?, depth)?),
            "table" => {
                BlockKind::Table(self.table(node, attributes, text_style(attributes, around)?, depth)?)
            }
            "box" => {
                let border = attributes
                    .choice("border", &[("none", 0.0), ("thin", 0.5), ("thick", 1.2)])?
                    .unwrap_or(0.5);
                let tint = attributes.choice("fill", &[("none", false), ("tint", true)])?.unwrap_or(false);
                let content = self.blocks(node, text_style(attributes, around)?, depth + 1)?;
                BlockKind::Frame {
                    border,
                    tint,
                    padding: attributes.length("padding")?.unwrap_or(8.0),
                    content,
                }
            }
            "columns" => self.columns(node, attributes, text_style(attributes, around)?, depth)?,
            "rule" => {
                only(node, &[])?;
                BlockKind::Rule {
                    weight: attributes.extent("weight")?.unwrap_or(0.5),
                    ink: attributes.ink()?.unwrap_or(Ink::Grey),
                }
            }
            "space" => {
                only(node, &[])?;
                let height = attributes.length("height")?;
                BlockKind::Space(
                    height.ok_or_else(|| error_at(node, "<space> requires the attribute height"))?,
                )
            }
            "key" => key(node, attributes)?,
            "qr" => qr_code(node, attributes)?,
            "image" => image(node, attributes)?,
            "pages" => return Err(error_at(node, "<pages> is only allowed in <header> and <footer>")),
            other => {
                let parents = parents(other);
                return Err(error_at(
                    node,
                    format!("<{other}> is only allowed in {parents}, not in <{}>", parent_name(node)),
                ));
            }
        };
        let usual = if matches!(kind, BlockKind::Text(_) | BlockKind::Rule { .. } | BlockKind::Space(_)) {
            0.0
        } else {
            around.size * 0.5
        };
        Ok(Block { position, before: attributes.length("before")?.unwrap_or(usual), keep, kind })
    }

    fn columns(
        &self,
        node: Node,
        attributes: Attributes,
        style: TextStyle,
        depth: usize,
    ) -> Result<BlockKind, PdfError> {
        let mut columns = Vec::new();
        for column in only(node, &["column"])? {
            Attributes::of(column, spec_of(column)?, style.size)?;
            columns.push(self.blocks(column, style, depth + 1)?);
        }
        let widths = attributes.widths("widths")?.unwrap_or_else(|| vec![ColumnWidth::Rest; columns.len()]);
        if widths.len() != columns.len() {
            return Err(error_at(
                node,
                format!(
                    "attribute widths of <columns> has {} widths for {} columns",
                    widths.len(),
                    columns.len()
                ),
            ));
        }
        Ok(BlockKind::Columns { widths, gap: attributes.length("gap")?.unwrap_or(12.0), columns })
    }
}

/// The parent of an element that is not a block.
fn parents(name: &str) -> &'static str {
    match name {
        "page" => "the outermost place",
        "header" | "footer" => "<page>",
        "item" => "<list>",
        "row" => "<table>",
        "label" | "value" => "<row>",
        "column" => "<columns>",
        _ => "text",
    }
}

fn parent_name<'a>(node: Node<'a, 'a>) -> &'a str {
    node.parent_element().map_or("", |parent| parent.tag_name().name())
}

/// The child elements. Text between them is an error.
fn elements<'a>(node: Node<'a, 'a>) -> Result<Vec<Node<'a, 'a>>, PdfError> {
    let mut elements = Vec::new();
    for child in node.children() {
        if child.is_element() {
            elements.push(child);
        } else if child.is_pi() {
            return Err(error_at(child, "processing instructions are not allowed"));
        } else if child.is_text() && !child.text().unwrap_or_default().trim_ascii().is_empty() {
            return Err(error_at(
                child,
                format!("text is not allowed directly in <{}>", node.tag_name().name()),
            ));
        }
    }
    Ok(elements)
}

/// The child elements, all of which must have one of the names.
pub(super) fn only<'a>(node: Node<'a, 'a>, names: &[&str]) -> Result<Vec<Node<'a, 'a>>, PdfError> {
    let elements = elements(node)?;
    match elements.iter().find(|element| !names.contains(&element.tag_name().name())) {
        None => Ok(elements),
        Some(other) => {
            let (name, found) = (node.tag_name().name(), other.tag_name().name());
            Err(error_at(
                *other,
                if names.is_empty() {
                    format!("<{name}> must be empty, but contains <{found}>")
                } else {
                    format!("<{name}> may contain only <{}>, not <{found}>", names.join("> and <"))
                },
            ))
        }
    }
}

fn text(node: Node, style: TextStyle, align: Align) -> Result<Text, PdfError> {
    Ok(Text::new(style, align, inline::lines(node, style.typeface)?))
}

fn paragraph(
    node: Node,
    spec: &ElementSpec,
    attributes: Attributes,
    around: TextStyle,
) -> Result<Text, PdfError> {
    let (tag, base, usual) = match spec.name {
        "heading" => {
            let level = attributes.count("level")?.unwrap_or(1).min(6);
            let (size, align) = if level == 1 { (18.0, Align::Center) } else { (12.0, Align::Left) };
            (
                Tag::Heading(level),
                TextStyle { typeface: Typeface::Gothic, size, leading: 1.4, ..around },
                align,
            )
        }
        "caption" => (
            Tag::Caption,
            TextStyle { typeface: Typeface::Gothic, size: 8.0, ink: Ink::Grey, leading: 1.45 },
            Align::Left,
        ),
        _ => (Tag::Paragraph, around, Align::Justify),
    };
    let style = text_style(attributes, base)?;
    let text = text(node, style, attributes.align()?.unwrap_or(usual))?;
    let indent = attributes.length("indent")?.unwrap_or(0.0);
    let inset = attributes.length("inset")?.unwrap_or(0.0);
    Ok(Text { tag: Some(tag), indent, inset, spacing: spacing(attributes, style)?, ..text })
}

/// The inherited style, changed by `size`, `face`, `ink` and `leading`.
pub(super) fn text_style(attributes: Attributes, inherited: TextStyle) -> Result<TextStyle, PdfError> {
    Ok(TextStyle {
        size: attributes.size("size")?.unwrap_or(inherited.size),
        typeface: attributes.face()?.unwrap_or(inherited.typeface),
        ink: attributes.ink()?.unwrap_or(inherited.ink),
        leading: attributes.leading()?.unwrap_or(inherited.leading),
    })
}

/// `tracking` and `spread`. `em` in them refers to the size of the text itself.
pub(super) fn spacing(attributes: Attributes, style: TextStyle) -> Result<LetterSpacing, PdfError> {
    let attributes = attributes.with_em(style.size);
    Ok(match (attributes.extent("spread")?, attributes.length("tracking")?) {
        (Some(width), _) => LetterSpacing::Spread(width),
        (None, Some(space)) if space > 0.0 => LetterSpacing::Tracked(space),
        _ => LetterSpacing::None,
    })
}

fn key(node: Node, attributes: Attributes) -> Result<BlockKind, PdfError> {
    let text = inline::plain(node)?;
    if text.trim().is_empty() {
        return Err(error_at(node, "<key> requires at least one character"));
    }
    let style = TextStyle {
        size: attributes.size("size")?.unwrap_or(18.0),
        typeface: Typeface::Gothic,
        ink: Ink::Black,
        leading: 1.0,
    };
    Ok(BlockKind::Key { text, group: usize::from(attributes.count("group")?.unwrap_or(4)), style })
}

fn qr_code(node: Node, attributes: Attributes) -> Result<BlockKind, PdfError> {
    only(node, &[])?;
    let data = attributes.text("data").filter(|data| !data.is_empty());
    let Some(data) = data else { return Err(error_at(node, "<qr> requires the attribute data")) };
    let alternative = alternative(node, attributes)?.unwrap_or_else(|| "QRコード".to_owned());
    let size = attributes.extent("size")?.unwrap_or(70.0);
    Ok(BlockKind::QrCode {
        data: data.to_owned(),
        size,
        align: attributes.block_align()?.unwrap_or(Align::Left),
        alternative,
    })
}

fn image(node: Node, attributes: Attributes) -> Result<BlockKind, PdfError> {
    only(node, &[])?;
    let missing = |name: &str| error_at(node, format!("<image> requires the attribute {name}"));
    Ok(BlockKind::Image(Image {
        name: attributes
            .text("name")
            .filter(|name| !name.is_empty())
            .ok_or_else(|| missing("name"))?
            .to_owned(),
        alternative: alternative(node, attributes)?.ok_or_else(|| missing("alt"))?,
        width: attributes.extent("width")?.ok_or_else(|| missing("width"))?,
        align: attributes.block_align()?.unwrap_or(Align::Left),
        overlap: attributes.length("overlap")?.unwrap_or(0.0),
    }))
}

/// `alt`, the description for readers who cannot see the picture.
fn alternative(node: Node, attributes: Attributes) -> Result<Option<String>, PdfError> {
    let Some(text) = attributes.text("alt") else { return Ok(None) };
    if text.trim().is_empty() {
        return Err(error_at(
            node,
            format!(
                "attribute alt of <{}> must not be empty: it describes the picture",
                node.tag_name().name()
            ),
        ));
    }
    let text = normalize(text).map_err(|character| PdfError::ForbiddenCharacter { character })?;
    Ok(Some(text.into_owned()))
}
