//! Cuts a column of pieces into pages.

use super::piece::{EPSILON, Piece, moved, overflow};
use crate::display_list::Page;
use crate::error::PdfError;
use crate::markup::Position;

/// More pages than any document of this business has: a longer text is a mistake.
const MAX_PAGES: usize = 50;

/// Places pieces on pages, in a column of `height` points that begins at `origin`.
pub(super) fn paginate(
    pieces: Vec<Piece>,
    size: (f64, f64),
    origin: (f64, f64),
    height: f64,
) -> Result<Vec<Page>, PdfError> {
    let blank = || Page { size, elements: Vec::new() };
    let mut pages = Vec::new();
    let mut page = blank();
    let mut y = 0.0_f64;
    let mut fresh = true;
    let chains = chains(&pieces);
    for (piece, chain) in pieces.into_iter().zip(chains) {
        let repeated: f64 = piece.at_top.iter().map(|top| top.height).sum();
        if repeated + piece.height > height + EPSILON {
            return Err(too_tall(piece.position, repeated + piece.height, height));
        }
        // Pieces that no page can hold together are divided.
        let chain = if repeated + chain > height + EPSILON { piece.height } else { chain };
        if !fresh && y + piece.before + chain > height + EPSILON {
            pages.push(std::mem::replace(&mut page, blank()));
            if pages.len() >= MAX_PAGES {
                let problem = format!("the document is longer than {MAX_PAGES} pages");
                return Err(overflow(piece.position, problem));
            }
            y = 0.0;
            fresh = true;
        }
        if fresh {
            for top in &piece.at_top {
                page.elements.extend(moved(top.elements.clone(), origin.0, origin.1 + y));
                y += top.height;
            }
        } else {
            y = (y + piece.before).max(0.0);
        }
        page.elements.extend(moved(piece.elements, origin.0, origin.1 + y));
        y += piece.height;
        fresh = false;
    }
    pages.push(page);
    Ok(pages)
}

/// For each piece, the height of all pieces from it that must stay on its page.
fn chains(pieces: &[Piece]) -> Vec<f64> {
    let mut chains: Vec<f64> = pieces.iter().map(|piece| piece.height).collect();
    for at in (1..pieces.len()).rev() {
        if pieces[at - 1].keep {
            chains[at - 1] += pieces[at].before + chains[at];
        }
    }
    chains
}

/// The error of a piece that no page can hold, with a remedy.
fn too_tall(position: Position, tall: f64, height: f64) -> PdfError {
    let (piece, remedy) = match position.element {
        "row" | "table" => (
            "a table row, with the rows tied to it and the repeated head,",
            "put long text into a <p> outside of the table",
        ),
        "box" => ("a <box>", "put long content directly into the <page>"),
        "columns" => ("a <columns>", "put long content directly into the <page>"),
        "image" | "qr" => ("a picture", "give it a smaller size"),
        "space" => ("a <space>", "give it a smaller height"),
        _ => ("a line", "give it a smaller font size"),
    };
    overflow(position, format!("{piece} is taller than the page ({tall:.1}pt of {height:.1}pt): {remedy}"))
}
