//! What stands in the margins of every page: header, footer, and the page's number.

use std::borrow::Cow;

use super::{Layout, overflow, single};
use crate::PdfError;
use crate::display::{Element, Ink, Page, Place};
use crate::fonts::Style;
use crate::markup::{Align, Letters, PAGES, Position, Running, Sheet, Span, Text};

/// How much of a margin lies between the edge of the paper and its header; a footer hangs as far from its page's text.
const OUTSIDE: f64 = 0.62;

/// Letters of page numbers that no header or footer asked for.
const NUMBERS: Letters = Letters { size: 8.0, style: Style::Gothic, ink: Ink::Grey, leading: 1.4 };

impl Layout<'_> {
    /// Fills the margins of all pages.
    pub(super) fn margins(&mut self, sheet: &Sheet, pages: &mut [Page]) -> Result<(), PdfError> {
        let [top, right, bottom, left] = sheet.margins;
        let width = sheet.size.0 - left - right;
        let count = pages.len();
        let running = [&sheet.header, &sheet.footer];
        let is_numbered =
            count > 1 && !running.into_iter().flatten().any(|running| has_numbers(&running.text));
        for (number, page) in (1..).zip(pages) {
            if let Some(header) = shown(sheet.header.as_ref(), number) {
                let (tall, elements) = self.running(
                    &numbered(&header.text, number, count),
                    Place::Header,
                    header.position,
                    width,
                )?;
                let y = top * OUTSIDE - tall;
                if y < 0.0 {
                    return Err(overflow(header.position, "the header does not fit into the top margin"));
                }
                page.elements.extend(elements.into_iter().map(|element| element.moved(left, y)));
            }
            let mut y = sheet.size.1 - bottom * OUTSIDE;
            let mut position = Position { line: 1, column: 1, element: "page" };
            let footer = shown(sheet.footer.as_ref(), number);
            let text = footer.map(|footer| {
                position = footer.position;
                numbered(&footer.text, number, count)
            });
            let text = match text {
                // Behind the footer's own words: below them it would come near the edge, where printers do not print.
                Some(text) if is_numbered => {
                    Some(Cow::Owned(behind(text.into_owned(), &format!("{number} / {count}"))))
                }
                None if is_numbered => Some(Cow::Owned(Text {
                    align: Align::Center,
                    ..single(format!("{number} / {count}"), NUMBERS)
                })),
                text => text,
            };
            if let Some(text) = text {
                let (tall, elements) = self.running(&text, Place::Footer, position, width)?;
                page.elements.extend(elements.into_iter().map(|element| element.moved(left, y)));
                y += tall;
            }
            if y > sheet.size.1 {
                return Err(overflow(position, "the footer does not fit into the bottom margin"));
            }
        }
        Ok(())
    }

    fn running(
        &mut self,
        text: &Text,
        place: Place,
        position: Position,
        width: f64,
    ) -> Result<(f64, Vec<Element>), PdfError> {
        let mut y = 0.0;
        let mut elements = Vec::new();
        for piece in self.paragraph(text, place, position, width)? {
            elements.extend(piece.elements.into_iter().map(|element| element.moved(0.0, y)));
            y += piece.height;
        }
        Ok((y, elements))
    }
}

fn shown(running: Option<&Running>, number: usize) -> Option<&Running> {
    running.filter(|running| running.on_first || number > 1)
}

fn has_numbers(text: &Text) -> bool {
    text.lines.iter().flatten().any(|span| span.text.contains(PAGES))
}

/// The text with something more on its last line.
fn behind(mut text: Text, more: &str) -> Text {
    if let Some(line) = text.lines.last_mut() {
        let style = line.last().map_or(NUMBERS.style, |span| span.style);
        line.push(Span { text: format!("　　{more}"), style });
    }
    text
}

/// The text with the page's number where it asks for it.
fn numbered(text: &Text, number: usize, count: usize) -> Cow<'_, Text> {
    if !has_numbers(text) {
        return Cow::Borrowed(text);
    }
    let mut text = text.clone();
    for span in text.lines.iter_mut().flatten() {
        span.text = span.text.replace(PAGES, &format!("{number} / {count}"));
    }
    Cow::Owned(text)
}
