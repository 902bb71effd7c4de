//! Lists: labels that hang beside their items.

use super::paragraph::measured;
use super::{Layout, Piece, Position, overflow, single};
use crate::PdfError;
use crate::display::{Place, Tag};
use crate::markup::{Letters, List};

impl Layout<'_> {
    /// The pieces of the items, the label of each drawn with its first.
    pub(super) fn list(
        &mut self,
        position: Position,
        list: &List,
        width: f64,
    ) -> Result<Vec<Piece>, PdfError> {
        let mut inset = list.inset;
        for (label, _) in &list.items {
            inset = inset.max(self.wide(label, list.letters)? + list.clearance);
        }
        if width <= inset {
            return Err(overflow(position, "a list is too narrow for its labels"));
        }
        let node = self.part(Tag::List(list.numbering));
        let mut pieces = Vec::new();
        for (at, (label, content)) in list.items.iter().enumerate() {
            let item = self.tree.add(node, Tag::Item);
            let place = Place::Node(self.tree.add(item, Tag::Label));
            let mut label = self.paragraph(&single(label.clone(), list.letters), place, position, inset)?;
            let body = self.tree.add(item, Tag::Body);
            let mut body = self.within(body, |layout| layout.flow(content, width - inset))?;
            for piece in &mut body {
                piece.elements = std::mem::take(&mut piece.elements)
                    .into_iter()
                    .map(|element| element.moved(inset, 0.0))
                    .collect();
            }
            match body.first_mut() {
                // An item that says nothing is an item all the same.
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

    fn wide(&self, label: &str, letters: Letters) -> Result<f64, PdfError> {
        label.chars().try_fold(0.0, |sum, character| {
            Ok(sum + measured(self.fonts, letters.style, character, letters.size)?.1)
        })
    }
}
