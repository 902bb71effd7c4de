//! What all documents of one template share, prepared once per process.
//!
//! A form letter repeats itself: the letters of its own words are in every copy. [`Stock::of`] takes drawings of a
//! template's samples and keeps the letters that most of them have in common, so that drawing a document only works
//! on what differs. The stock is part of a document's bytes, so it depends on template, samples and fonts alone and
//! never on what the process has drawn before.

use std::collections::BTreeMap;

use super::display::{Display, Element, Letter};
use super::fonts::Fonts;
use super::subset::Shelf;

/// What all documents of one template share.
#[derive(Debug, Default)]
pub struct Stock {
    shelves: BTreeMap<u8, Shelf>,
}

impl Stock {
    /// Prepares what the drawings of a template's samples have in common: letters that stand in at least half of them. One
    /// that a document then lacks costs it a hundred bytes; one it has is drawn for nothing.
    pub(super) fn of(drawings: &[Display], fonts: &Fonts) -> Self {
        let mut counts: BTreeMap<u8, BTreeMap<Letter, usize>> = BTreeMap::new();
        for drawing in drawings {
            for (face, letters) in letters(drawing) {
                let counts = counts.entry(face).or_default();
                for letter in letters {
                    *counts.entry(letter).or_default() += 1;
                }
            }
        }
        let common = |counts: BTreeMap<Letter, usize>| -> Vec<Letter> {
            counts
                .into_iter()
                .filter(|(_, count)| 2 * count >= drawings.len())
                .map(|(letter, _)| letter)
                .collect()
        };
        let shelves = counts
            .into_iter()
            .map(|(face, counts)| (face, common(counts)))
            .filter(|(_, letters)| !letters.is_empty())
            .map(|(face, letters)| (face, Shelf::new(fonts.face(face), letters)))
            .collect();
        Self { shelves }
    }

    /// What is ready of a face.
    pub(super) fn shelf(&self, face: u8) -> &Shelf {
        static NOTHING: Shelf = Shelf::EMPTY;
        self.shelves.get(&face).unwrap_or(&NOTHING)
    }
}

/// The letters of a drawing by face, each once.
pub(super) fn letters(drawing: &Display) -> BTreeMap<u8, Vec<Letter>> {
    let mut letters: BTreeMap<u8, Vec<Letter>> = BTreeMap::new();
    for element in drawing.pages.iter().flat_map(|page| &page.elements) {
        if let Element::Text(run) = element {
            letters.entry(run.face).or_default().extend(&run.letters);
        }
    }
    for letters in letters.values_mut() {
        letters.sort_unstable();
        letters.dedup();
    }
    letters
}
