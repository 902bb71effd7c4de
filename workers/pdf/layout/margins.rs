//! Header, footer and page number in the margins of every page.

use super::piece::{Layout, moved, overflow, single};
use crate::display_list::{Element, Ink, Owner, Page};
use crate::error::PdfError;
use crate::fonts::Typeface;
use crate::markup::{Align, Document, MarginText, PAGE_NUMBER, Position, Span, Text, TextStyle};

/// Where the header ends and the footer begins: part of the margin, from the edge.
const OUTSIDE: f64 = 0.62;

/// Style of a page number that neither header nor footer contains.
const NUMBERS: TextStyle = TextStyle { size: 8.0, typeface: Typeface::Gothic, ink: Ink::Grey, leading: 1.4 };

impl Layout<'_> {
    pub(super) fn margins(&mut self, document: &Document, pages: &mut [Page]) -> Result<(), PdfError> {
        let [top, right, bottom, left] = document.margins;
        let width = document.size.0 - left - right;
        let count = pages.len();
        let margin_texts = [&document.header, &document.footer];
        let is_numbered =
            count > 1 && !margin_texts.into_iter().flatten().any(|margin| has_numbers(&margin.text));
        for (number, page) in (1..).zip(pages) {
            if let Some(header) = shown(document.header.as_ref(), number) {
                let (tall, elements) = self.margin_text(
                    &numbered(&header.text, number, count),
                    Owner::Header,
                    header.position,
                    width,
                )?;
                let y = top * OUTSIDE - tall;
                if y < 0.0 {
                    let (room, problem) = (top * OUTSIDE, "the header does not fit into the top margin");
                    let problem = format!("{problem}: it is {tall:.1}pt tall, the limit is {room:.1}pt");
                    return Err(overflow(header.position, problem));
                }
                page.elements.extend(moved(elements, left, y));
            }
            let mut y = document.size.1 - bottom * OUTSIDE;
            let mut position = Position { line: 1, column: 1, element: "page" };
            let footer = shown(document.footer.as_ref(), number);
            let text = footer.map(|footer| {
                position = footer.position;
                numbered(&footer.text, number, count)
            });
            let numbers = format!("{number} / {count}");
            let text = match text {
                // After the text of the footer: below it, the number would come near the edge, where printers
                // do not print.
                Some(text) if is_numbered => Some(append(text, &numbers)),
                None if is_numbered => Some(Text { align: Align::Center, ..single(numbers, NUMBERS) }),
                text => text,
            };
            if let Some(text) = text {
                let (tall, elements) = self.margin_text(&text, Owner::Footer, position, width)?;
                page.elements.extend(moved(elements, left, y));
                y += tall;
            }
            if y > document.size.1 {
                let problem = format!(
                    "the footer does not fit into the bottom margin: it ends {:.1}pt below the paper",
                    y - document.size.1
                );
                return Err(overflow(position, problem));
            }
        }
        Ok(())
    }

    fn margin_text(
        &mut self,
        text: &Text,
        owner: Owner,
        position: Position,
        width: f64,
    ) -> Result<(f64, Vec<Element>), PdfError> {
        let mut y = 0.0;
        let mut elements = Vec::new();
        for piece in self.paragraph(text, owner, position, width)? {
            elements.extend(moved(piece.elements, 0.0, y));
            y += piece.height;
        }
        Ok((y, elements))
    }
}

fn shown(text: Option<&MarginText>, number: usize) -> Option<&MarginText> {
    text.filter(|text| text.on_first || number > 1)
}

fn has_numbers(text: &Text) -> bool {
    text.lines.iter().flatten().any(|span| span.text.contains(PAGE_NUMBER))
}

fn append(mut text: Text, more: &str) -> Text {
    if let Some(line) = text.lines.last_mut() {
        let typeface = line.last().map_or(NUMBERS.typeface, |span| span.typeface);
        line.push(Span { text: format!("　　{more}"), typeface });
    }
    text
}

fn numbered(text: &Text, number: usize, count: usize) -> Text {
    let mut text = text.clone();
    for span in text.lines.iter_mut().flatten() {
        span.text = span.text.replace(PAGE_NUMBER, &format!("{number} / {count}"));
    }
    text
}
