//! Lists: items and their labels.

use roxmltree::Node;

use super::attributes::{Attributes, refused};
use super::read::{Reader, form, only};
use super::{Align, Letters, List};
use crate::PdfError;
use crate::display::Numbering;

/// How labels are written.
#[derive(Clone, Copy)]
enum Marker {
    Circled,
    Decimal,
    Paren,
    Dot,
}

impl Reader<'_> {
    /// Reads a `<list>`.
    pub(super) fn list(
        &self,
        node: Node,
        attributes: Attributes,
        letters: Letters,
        depth: usize,
    ) -> Result<List, PdfError> {
        let markers = [
            ("circled", Marker::Circled),
            ("decimal", Marker::Decimal),
            ("paren", Marker::Paren),
            ("dot", Marker::Dot),
        ];
        let marker = attributes.choice("marker", &markers)?.unwrap_or(Marker::Dot);
        let start = u32::from(attributes.count("start")?.unwrap_or(1));
        let mut items = Vec::new();
        for (item, number) in only(node, &["item"])?.into_iter().zip(start..) {
            Attributes::of(item, form(item)?, letters.size)?;
            let label = match marker {
                Marker::Dot => "・".to_owned(),
                Marker::Decimal => format!("{number}."),
                // A number of one figure is as wide as the brackets beside it.
                Marker::Paren if number < 10 => {
                    format!("（{}）", char::from_u32(0xFF10 + number).unwrap_or('・'))
                }
                Marker::Paren => format!("（{number}）"),
                Marker::Circled if number <= 20 => {
                    char::from_u32(0x245F + number).unwrap_or('・').to_string()
                }
                Marker::Circled => return Err(refused(item, "a circled list ends at ⑳".to_owned())),
            };
            items.push((label, self.content(item, letters, Align::Justify, depth)?));
        }
        let (numbering, inset, clearance) = match marker {
            Marker::Dot => (Numbering::Dot, 1.0, 0.0),
            Marker::Circled => (Numbering::Circled, 1.5, 0.25),
            Marker::Decimal => (Numbering::Decimal, 1.5, 0.5),
            Marker::Paren => (Numbering::Decimal, 3.0, 0.0),
        };
        let gap = attributes.length("gap")?.unwrap_or(0.0);
        Ok(List {
            numbering,
            inset: letters.size * inset,
            clearance: letters.size * clearance,
            gap,
            letters,
            items,
        })
    }
}
