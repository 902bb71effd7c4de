//! Lists: labels beside their items.

use super::paragraph::measure;
use super::piece::{Layout, Piece, moved, overflow, single};
use crate::display_list::{Owner, Tag};
use crate::error::PdfError;
use crate::markup::{List, Position, TextStyle};

impl Layout<'_> {
    /// The pieces of the items. The label of an item is part of its first piece.
    pub(super) fn list(
        &mut self,
        position: Position,
        list: &List,
        width: f64,
    ) -> Result<Vec<Piece>, PdfError> {
        let mut inset = list.inset;
        for (label, _) in &list.items {
            inset = inset.max(self.width_of(label, list.style)? + list.clearance);
        }
        if width <= inset {
            let problem = format!("the labels of a <list> take {inset:.1}pt; {width:.1}pt are available");
            return Err(overflow(position, problem));
        }
        let node = self.add_node(Tag::List(list.numbering));
        let mut pieces = Vec::new();
        for (at, (label, content)) in list.items.iter().enumerate() {
            let item = self.tree.add(node, Tag::Item);
            let owner = Owner::Node(self.tree.add(item, Tag::Label));
            let mut label = self.paragraph(&single(label.clone(), list.style), owner, position, inset)?;
            let body = self.tree.add(item, Tag::Body);
            let mut body = self.within(body, |layout| layout.flow(content, width - inset))?;
            for piece in &mut body {
                piece.elements = moved(std::mem::take(&mut piece.elements), inset, 0.0).collect();
            }
            match body.first_mut() {
                // An empty item still shows its label.
                None => body.append(&mut label),
                Some(first) => {
                    let labels = label.into_iter().flat_map(|piece| piece.elements);
                    first.elements = labels.chain(std::mem::take(&mut first.elements)).collect();
                }
            }
            if let Some(first) = body.first_mut().filter(|_| at > 0) {
                first.before += list.gap;
            }
            pieces.append(&mut body);
        }
        Ok(pieces)
    }

    fn width_of(&self, label: &str, style: TextStyle) -> Result<f64, PdfError> {
        label.chars().try_fold(0.0, |sum, character| {
            Ok(sum + measure(self.fonts, style.typeface, character, style.size)?.1)
        })
    }
}
