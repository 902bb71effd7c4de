//! From XML to blocks.

use std::cell::Cell;

use roxmltree::{Document, Node};

use super::attributes::{Attributes, refused};
use super::elements::{self, Form};
use super::{Align, Block, Image, Kind, Letters, Position, Running, Sheet, Spacing, Text, Width, inline};
use crate::PdfError;
use crate::display::{Ink, Tag};
use crate::fonts::Style;

/// A4 in points.
const A4: (f64, f64) = (210.0 * 72.0 / 25.4, 297.0 * 72.0 / 25.4);

/// Boxes within boxes end here.
const DEEPEST: usize = 12;

/// Reads a whole document.
pub(crate) fn read(markup: &str) -> Result<Sheet, PdfError> {
    let document = Document::parse(markup).map_err(|source| {
        let at = source.pos();
        PdfError::NotXml { line: at.row, column: at.col, source: Box::new(source) }
    })?;
    let page = document.root_element();
    if page.tag_name().name() != "page" {
        return Err(refused(page, format!("a document is a <page>, not <{}>", page.tag_name().name())));
    }
    let attributes = Attributes::of(page, form(page)?, 10.5)?;
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
        size: attributes.size("text")?.unwrap_or(10.5),
        style: attributes.face()?.unwrap_or(Style::Mincho),
        ink: Ink::Black,
        leading: attributes.leading()?.unwrap_or(1.6),
    };
    let reader = Reader { markup, last: Cell::new((0, 1, 1)) };
    let header = reader.running(page, "header", letters, Align::Right)?;
    let footer = reader.running(page, "footer", letters, Align::Center)?;
    Ok(Sheet { size, margins, header, footer, blocks: reader.blocks(page, letters, 0)? })
}

/// The form of an element.
pub(super) fn form(node: Node) -> Result<&'static Form, PdfError> {
    elements::of(node)
}

/// Reads elements in the order of the markup.
pub(super) struct Reader<'a> {
    markup: &'a str,
    /// Offset, line and column of the place found last: each is found from the one before. Counted anew from the
    /// start, the places of a long document would take as long as all the rest.
    last: Cell<(usize, u32, u32)>,
}

impl Reader<'_> {
    /// Where a node begins.
    pub(super) fn position(&self, node: Node, form: &Form) -> Position {
        let to = node.range().start;
        let (mut from, mut line, mut column) = self.last.get();
        if from > to {
            (from, line, column) = (0, 1, 1);
        }
        for character in self.markup.get(from..to).unwrap_or_default().chars() {
            (line, column) = if character == '\n' { (line + 1, 1) } else { (line, column + 1) };
        }
        self.last.set((to, line, column));
        Position { line, column, element: form.name }
    }

    fn running(
        &self,
        page: Node,
        name: &str,
        around: Letters,
        align: Align,
    ) -> Result<Option<Running>, PdfError> {
        let mut found = page.children().filter(|child| child.has_tag_name(name));
        let Some(node) = found.next() else { return Ok(None) };
        if let Some(second) = found.next() {
            return Err(refused(second, format!("a <page> has one <{name}>")));
        }
        let form = form(node)?;
        let position = self.position(node, form);
        let attributes = Attributes::of(node, form, around.size)?;
        let size = attributes.size("size")?.unwrap_or(8.0);
        let letters = Letters { size, style: Style::Gothic, ink: Ink::Grey, leading: 1.4 };
        let on_first = attributes.choice("first", &[("yes", true), ("no", false)])?.unwrap_or(true);
        let lines = inline::running(node, letters.style)?;
        let align = attributes.align()?.unwrap_or(align);
        let text =
            Text { tag: None, letters, align, indent: 0.0, inset: 0.0, spacing: Spacing::Natural, lines };
        Ok(Some(Running { position, on_first, text }))
    }

    /// The blocks of an element.
    pub(super) fn blocks(&self, node: Node, letters: Letters, depth: usize) -> Result<Vec<Block>, PdfError> {
        if depth > DEEPEST {
            return Err(refused(node, "elements are nested too deeply".to_owned()));
        }
        let is_page = node.tag_name().name() == "page";
        let is_running = |element: &Node| is_page && matches!(element.tag_name().name(), "header" | "footer");
        elements(node)?
            .into_iter()
            .filter(|element| !is_running(element))
            .map(|element| self.block(element, letters, depth))
            .collect()
    }

    /// Blocks, or bare text as one paragraph.
    pub(super) fn content(
        &self,
        node: Node,
        letters: Letters,
        align: Align,
        depth: usize,
    ) -> Result<Vec<Block>, PdfError> {
        let inline = |child: Node| child.is_element() && matches!(child.tag_name().name(), "em" | "br");
        let bare = |child: Node| child.is_text() && !child.text().unwrap_or_default().trim_ascii().is_empty();
        if node.children().any(|child| inline(child) || bare(child)) {
            let position = self.position(node, form(node)?);
            let text = text(node, None, letters, align)?;
            return Ok(vec![Block { position, before: 0.0, keep: false, kind: Kind::Text(text) }]);
        }
        self.blocks(node, letters, depth + 1)
    }

    fn block(&self, node: Node, around: Letters, depth: usize) -> Result<Block, PdfError> {
        let form = form(node)?;
        let position = self.position(node, form);
        let attributes = Attributes::of(node, form, around.size)?;
        let mut keep = attributes.choice("keep", &[("next", true)])?.unwrap_or(false);
        let kind = match form.name {
            "heading" | "p" | "caption" => {
                keep |= form.name == "heading";
                Kind::Text(paragraph(node, form, attributes, around)?)
            }
            "list" => Kind::List(self.list(node, attributes, letters(attributes, around)?, depth)?),
            "table" => Kind::Table(self.table(node, attributes, letters(attributes, around)?, depth)?),
            "box" => {
                let border = attributes
                    .choice("border", &[("none", 0.0), ("thin", 0.5), ("thick", 1.2)])?
                    .unwrap_or(0.5);
                let tint = attributes.choice("fill", &[("none", false), ("tint", true)])?.unwrap_or(false);
                let content = self.blocks(node, letters(attributes, around)?, depth + 1)?;
                Kind::Frame { border, tint, padding: attributes.length("padding")?.unwrap_or(8.0), content }
            }
            "columns" => self.columns(node, attributes, letters(attributes, around)?, depth)?,
            "rule" => {
                only(node, &[])?;
                Kind::Rule {
                    weight: attributes.extent("weight")?.unwrap_or(0.5),
                    ink: attributes.ink()?.unwrap_or(Ink::Grey),
                }
            }
            "space" => {
                only(node, &[])?;
                let height = attributes.length("height")?;
                Kind::Space(height.ok_or_else(|| refused(node, "<space> needs a height".to_owned()))?)
            }
            "key" => key(node, attributes)?,
            "qr" => code(node, attributes)?,
            "image" => image(node, attributes)?,
            "pages" => return Err(refused(node, "<pages> stands in <header> and <footer> only".to_owned())),
            other => {
                let parents = parents(other);
                return Err(refused(
                    node,
                    format!("<{other}> stands in {parents} only, not in <{}>", name_around(node)),
                ));
            }
        };
        let usual = if matches!(kind, Kind::Text(_) | Kind::Rule { .. } | Kind::Space(_)) {
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
        letters: Letters,
        depth: usize,
    ) -> Result<Kind, PdfError> {
        let mut columns = Vec::new();
        for column in only(node, &["column"])? {
            Attributes::of(column, form(column)?, letters.size)?;
            columns.push(self.blocks(column, letters, depth + 1)?);
        }
        let widths = attributes.widths("widths")?.unwrap_or_else(|| vec![Width::Rest; columns.len()]);
        if widths.len() != columns.len() {
            return Err(refused(node, format!("{} widths for {} columns", widths.len(), columns.len())));
        }
        Ok(Kind::Columns { widths, gap: attributes.length("gap")?.unwrap_or(12.0), columns })
    }
}

/// Where an element that is no block belongs.
fn parents(name: &str) -> &'static str {
    match name {
        "page" => "nothing",
        "header" | "footer" => "<page>",
        "item" => "<list>",
        "row" => "<table>",
        "label" | "value" => "<row>",
        "column" => "<columns>",
        _ => "text",
    }
}

fn name_around<'a>(node: Node<'a, 'a>) -> &'a str {
    node.parent_element().map_or("", |parent| parent.tag_name().name())
}

/// The child elements; text between them is an error.
fn elements<'a>(node: Node<'a, 'a>) -> Result<Vec<Node<'a, 'a>>, PdfError> {
    let mut elements = Vec::new();
    for child in node.children() {
        if child.is_element() {
            elements.push(child);
        } else if child.is_pi() {
            return Err(refused(child, "markup has no processing instructions".to_owned()));
        } else if child.is_text() && !child.text().unwrap_or_default().trim_ascii().is_empty() {
            return Err(refused(child, format!("text directly within <{}>", node.tag_name().name())));
        }
    }
    Ok(elements)
}

/// The children of one name; others are errors.
pub(super) fn only<'a>(node: Node<'a, 'a>, names: &[&str]) -> Result<Vec<Node<'a, 'a>>, PdfError> {
    let elements = elements(node)?;
    match elements.iter().find(|element| !names.contains(&element.tag_name().name())) {
        None => Ok(elements),
        Some(other) => {
            let held =
                if names.is_empty() { "nothing".to_owned() } else { format!("<{}>", names.join("> and <")) };
            Err(refused(
                *other,
                format!("<{}> holds {held}, not <{}>", node.tag_name().name(), other.tag_name().name()),
            ))
        }
    }
}

fn text(node: Node, tag: Option<Tag>, letters: Letters, align: Align) -> Result<Text, PdfError> {
    let lines = inline::lines(node, letters.style)?;
    Ok(Text { tag, letters, align, indent: 0.0, inset: 0.0, spacing: Spacing::Natural, lines })
}

/// A heading, paragraph or caption.
fn paragraph(node: Node, form: &Form, attributes: Attributes, around: Letters) -> Result<Text, PdfError> {
    let (tag, base, usual) = match form.name {
        "heading" => {
            let level = attributes.count("level")?.unwrap_or(1).min(6);
            let (size, align) = if level == 1 { (18.0, Align::Center) } else { (12.0, Align::Left) };
            (Tag::Heading(level), Letters { style: Style::Gothic, size, leading: 1.4, ..around }, align)
        }
        "caption" => (
            Tag::Caption,
            Letters { style: Style::Gothic, size: 8.0, ink: Ink::Grey, leading: 1.45 },
            Align::Left,
        ),
        _ => (Tag::Paragraph, around, Align::Justify),
    };
    let letters = letters(attributes, base)?;
    let mut text = text(node, Some(tag), letters, attributes.align()?.unwrap_or(usual))?;
    text.indent = attributes.length("indent")?.unwrap_or(0.0);
    text.inset = attributes.length("inset")?.unwrap_or(0.0);
    text.spacing = spacing(attributes, letters)?;
    Ok(text)
}

/// `size`, `face`, `ink`, `leading` over what is inherited.
pub(super) fn letters(attributes: Attributes, inherited: Letters) -> Result<Letters, PdfError> {
    Ok(Letters {
        size: attributes.size("size")?.unwrap_or(inherited.size),
        style: attributes.face()?.unwrap_or(inherited.style),
        ink: attributes.ink()?.unwrap_or(inherited.ink),
        leading: attributes.leading()?.unwrap_or(inherited.leading),
    })
}

/// `tracking` and `spread`, in which `em` is the size of the letters themselves.
pub(super) fn spacing(attributes: Attributes, letters: Letters) -> Result<Spacing, PdfError> {
    let attributes = attributes.with_em(letters.size);
    Ok(match (attributes.extent("spread")?, attributes.length("tracking")?) {
        (Some(width), _) => Spacing::Spread(width),
        (None, Some(space)) if space > 0.0 => Spacing::Tracked(space),
        _ => Spacing::Natural,
    })
}

fn key(node: Node, attributes: Attributes) -> Result<Kind, PdfError> {
    let text = inline::plain(node)?;
    if text.trim().is_empty() {
        return Err(refused(node, "<key> needs at least one letter".to_owned()));
    }
    let letters = Letters {
        size: attributes.size("size")?.unwrap_or(18.0),
        style: Style::Gothic,
        ink: Ink::Black,
        leading: 1.0,
    };
    Ok(Kind::Key { text, group: usize::from(attributes.count("group")?.unwrap_or(4)), letters })
}

fn code(node: Node, attributes: Attributes) -> Result<Kind, PdfError> {
    only(node, &[])?;
    let data = attributes.text("data").filter(|data| !data.is_empty());
    let Some(data) = data else { return Err(refused(node, "<qr> needs data".to_owned())) };
    let alternative = alternative(node, attributes)?.unwrap_or_else(|| "QRコード".to_owned());
    let size = attributes.extent("size")?.unwrap_or(70.0);
    Ok(Kind::Code {
        data: data.to_owned(),
        size,
        align: attributes.place()?.unwrap_or(Align::Left),
        alternative,
    })
}

fn image(node: Node, attributes: Attributes) -> Result<Kind, PdfError> {
    only(node, &[])?;
    let needed = |what: &str| refused(node, format!("<image> needs {what}"));
    Ok(Kind::Image(Image {
        name: attributes
            .text("name")
            .filter(|name| !name.is_empty())
            .ok_or_else(|| needed("the name of a picture"))?
            .to_owned(),
        alternative: alternative(node, attributes)?.ok_or_else(|| needed("alt: what it shows, in words"))?,
        width: attributes.extent("width")?.ok_or_else(|| needed("a width"))?,
        align: attributes.place()?.unwrap_or(Align::Left),
        overlap: attributes.length("overlap")?.unwrap_or(0.0),
    }))
}

/// `alt`: what those hear who do not see.
fn alternative(node: Node, attributes: Attributes) -> Result<Option<String>, PdfError> {
    let Some(text) = attributes.text("alt") else { return Ok(None) };
    if text.trim().is_empty() {
        return Err(refused(
            node,
            format!("attribute alt of <{}> says what it shows: it may not be empty", node.tag_name().name()),
        ));
    }
    let prepared =
        crate::text::prepared(text).map_err(|character| PdfError::ForbiddenCharacter { character })?;
    Ok(Some(prepared.into_owned()))
}
