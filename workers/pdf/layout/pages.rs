//! Cutting a column of pieces into pages.

use super::{EPSILON, Piece, Top, overflow};
use crate::PdfError;
use crate::display::Page;

/// More pages than any form of this business: a text that long is a mistake.
const MOST_PAGES: usize = 50;

/// Places pieces on pages, `height` points of each from `origin` on.
pub(super) fn paginated(
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
            return Err(overflow(piece.position, too_tall(piece.position.element)));
        }
        // Pieces that cannot all stand on one page are divided where they must be.
        let chain = if repeated + chain > height + EPSILON { piece.height } else { chain };
        if !fresh && y + piece.before + chain > height + EPSILON {
            pages.push(std::mem::replace(&mut page, blank()));
            if pages.len() >= MOST_PAGES {
                return Err(overflow(piece.position, "the document is longer than 50 pages"));
            }
            y = 0.0;
            fresh = true;
        }
        if fresh {
            for top in &piece.at_top {
                page.elements.extend(repetition(top).map(|element| element.moved(origin.0, origin.1 + y)));
                y += top.height;
            }
        } else {
            y = (y + piece.before).max(0.0);
        }
        page.elements.extend(piece.elements.into_iter().map(|element| element.moved(origin.0, origin.1 + y)));
        y += piece.height;
        fresh = false;
    }
    pages.push(page);
    Ok(pages)
}

/// What the pieces from each to the first one that needs no follower take together.
fn chains(pieces: &[Piece]) -> Vec<f64> {
    let mut chains: Vec<f64> = pieces.iter().map(|piece| piece.height).collect();
    for at in (1..pieces.len()).rev() {
        if pieces[at - 1].keep {
            chains[at - 1] += pieces[at].before + chains[at];
        }
    }
    chains
}

fn repetition(top: &Top) -> impl Iterator<Item = crate::display::Element> {
    top.elements.iter().cloned()
}

/// What is wrong with a piece that no page can hold, and what helps.
fn too_tall(element: &str) -> &'static str {
    match element {
        "row" | "table" => {
            "a table row, with the rows tied to it and the repeated head, is taller than the page: long text goes on to further pages in a <p>"
        }
        "box" => "a <box> is taller than the page: what is longer than a page stands on the <page> itself",
        "columns" => {
            "<columns> are taller than the page: what is longer than a page stands on the <page> itself"
        }
        "image" | "qr" => "a picture is taller than the page: give it a smaller size",
        "space" => "a <space> is taller than the page: give it a smaller height",
        _ => "a line is taller than the page: give it smaller letters",
    }
}
