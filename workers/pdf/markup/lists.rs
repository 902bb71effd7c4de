use roxmltree::Node;

use super::attributes::Attributes;
use super::blocks::{Align, List, TextStyle};
use super::elements::spec_of;
use super::error::error_at;
use super::read::{Reader, only};
use crate::display_list::Numbering;
use crate::error::PdfError;

#[derive(Clone, Copy)]
enum Marker {
    Circled,
    Decimal,
    Paren,
    Dot,
}

impl Reader<'_> {
    pub(super) fn list(
        &self,
        node: Node,
        attributes: Attributes,
        style: TextStyle,
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
            Attributes::of(item, spec_of(item)?, style.size)?;
            let label = match marker {
                Marker::Dot => "・".to_owned(),
                Marker::Decimal => format!("{number}."),
                // One full-width digit, as wide as the brackets beside it.
                Marker::Paren if number < 10 => {
                    format!("（{}）", char::from_u32(0xFF10 + number).unwrap_or('・'))
                }
                Marker::Paren => format!("（{number}）"),
                Marker::Circled if number <= 20 => {
                    char::from_u32(0x245F + number).unwrap_or('・').to_string()
                }
                Marker::Circled => return Err(error_at(item, "a circled list has no marker after ⑳")),
            };
            items.push((label, self.content(item, style, Align::Justify, depth)?));
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
            inset: style.size * inset,
            clearance: style.size * clearance,
            gap,
            style,
            items,
        })
    }
}
