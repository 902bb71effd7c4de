//! Tables: rows, cells that span several, and heads that are repeated.
//!
//! Rows that a cell ties together are one piece. A head is laid out once; what a table repeats at the top of the
//! pages it goes on to is the same elements again, as an ornament: a reader has heard it.

use std::rc::Rc;

use super::shapes::line;
use super::{EPSILON, Layout, Piece, Position, Top, overflow};
use crate::PdfError;
use crate::display::{Element, Ink, NodeId, Place, Tag};
use crate::markup::{Border, Cell, Row, Table, Vertical, Width};

/// Space between the text of a cell and its left and right edge, points.
const SIDE: f64 = 6.0;

/// Strokes of tables, points.
const OUTER: f64 = 0.8;
const INNER: f64 = 0.35;

/// A cell with its content, among the rows of its piece.
struct Laid<'a> {
    cell: &'a Cell,
    /// The first row it stands in, from the first of the piece.
    row: usize,
    tall: f64,
    elements: Vec<Element>,
}

impl Laid<'_> {
    /// The row after its last.
    fn end(&self) -> usize {
        self.row + usize::from(self.cell.rows)
    }
}

/// A table's lines across: where its columns begin, and where the last one ends.
struct Edges(Vec<f64>);

impl Edges {
    fn left(&self, cell: &Cell) -> f64 {
        self.0[cell.column]
    }

    fn right(&self, cell: &Cell) -> f64 {
        self.0[cell.column + usize::from(cell.columns)]
    }

    fn end(&self) -> f64 {
        self.0.last().copied().unwrap_or(0.0)
    }
}

impl Layout<'_> {
    /// A piece per row, or per group of rows that a cell ties together.
    pub(super) fn table(
        &mut self,
        position: Position,
        table: &Table,
        width: f64,
    ) -> Result<Vec<Piece>, PdfError> {
        let widths = Width::resolve(&table.widths, width);
        if widths.iter().any(|width| *width <= 2.0 * SIDE) || widths.iter().sum::<f64>() > width + EPSILON {
            return Err(overflow(position, "the columns of a table do not fit its place"));
        }
        let edge = |x: &mut f64, width: f64| {
            *x += width;
            Some(*x)
        };
        let edges = Edges(
            std::iter::once(0.0).chain(widths.into_iter().scan(0.0, |x, width| edge(x, width))).collect(),
        );
        let node = self.part(Tag::Table);
        let mut pieces = Vec::new();
        // Above any row but the first there is a line; above those of the body, the head.
        let mut top = Rc::new(ceiling(table.border, &edges));
        let mut head = Top { height: 0.0, elements: Vec::new() };
        let mut from = 0;
        while from < table.rows.len() {
            let to = tied(&table.rows, from);
            let mut piece = self.group(node, table, from..to, &edges)?;
            if from > 0 {
                piece.at_top.push(Rc::clone(&top));
            }
            if from < table.heads {
                piece.keep = true;
                head.elements.extend(
                    piece.elements.iter().cloned().map(|element| ornament(element).moved(0.0, head.height)),
                );
                head.height += piece.height;
                if to >= table.heads {
                    top = Rc::new(std::mem::replace(&mut head, Top { height: 0.0, elements: Vec::new() }));
                }
            }
            pieces.push(piece);
            from = to;
        }
        if table.heads == table.rows.len()
            && let Some(last) = pieces.last_mut()
        {
            last.keep = false;
        }
        Ok(pieces)
    }

    /// Rows that stay together.
    fn group(
        &mut self,
        table_node: NodeId,
        table: &Table,
        range: std::ops::Range<usize>,
        edges: &Edges,
    ) -> Result<Piece, PdfError> {
        let rows = &table.rows[range.clone()];
        let mut laid = Vec::new();
        for (number, row) in rows.iter().enumerate() {
            let node = self.tree.add(table_node, Tag::Row);
            for cell in &row.cells {
                let (columns, rows) = (cell.columns, cell.rows);
                let tag = cell.scope.map_or(Tag::Cell { columns, rows }, |scope| Tag::Head {
                    scope,
                    columns,
                    rows,
                });
                let cell_node = self.tree.add(node, tag);
                let room = edges.right(cell) - edges.left(cell) - 2.0 * SIDE;
                let (tall, elements) = self.within(cell_node, |layout| layout.stack(&cell.content, room))?;
                laid.push(Laid { cell, row: number, tall: tall + 2.0 * table.padding, elements });
            }
        }
        let lines = lines(&laid, rows.len());
        let height = lines.last().copied().unwrap_or(0.0);
        let mut elements = Vec::new();
        if table.border != Border::None {
            let is_last = range.end == table.rows.len() || range.end == table.heads;
            fills(&laid, &lines, edges, &mut elements);
            strokes(&laid, &lines, edges, table.border, &mut elements);
            if range.start == 0 {
                elements.append(&mut ceiling(table.border, edges).elements);
            }
            let (stroke, ink) = if is_last { (OUTER, Ink::Black) } else { (INNER, Ink::Grey) };
            elements.push(line((0.0, height), (edges.end(), height), stroke, ink));
        }
        for cell in laid {
            let free = lines[cell.end()] - lines[cell.row] - cell.tall;
            let down = match cell.cell.valign {
                Vertical::Top => 0.0,
                Vertical::Middle => free / 2.0,
                Vertical::Bottom => free,
            };
            let (x, y) = (edges.left(cell.cell) + SIDE, lines[cell.row] + table.padding + down);
            elements.extend(cell.elements.into_iter().map(|element| element.moved(x, y)));
        }
        let position =
            rows.first().map_or(Position { line: 1, column: 1, element: "table" }, |row| row.position);
        Ok(Piece { position, before: 0.0, height, keep: false, elements, at_top: Vec::new() })
    }
}

/// The row after the last that a cell ties to row `from`.
fn tied(rows: &[Row], from: usize) -> usize {
    let mut to = from + 1;
    let mut at = from;
    while at < to && at < rows.len() {
        let reach = rows[at].cells.iter().map(|cell| at + usize::from(cell.rows)).max().unwrap_or(0);
        to = to.max(reach);
        at += 1;
    }
    to.min(rows.len())
}

/// Where rows begin, and where the last one ends: each as tall as its cells need; a cell of several rows makes the
/// last of them taller if it must.
fn lines(laid: &[Laid], rows: usize) -> Vec<f64> {
    let mut lines = vec![0.0_f64; rows + 1];
    let mut by_end: Vec<&Laid> = laid.iter().collect();
    by_end.sort_by_key(|cell| cell.end());
    let mut cells = by_end.into_iter().peekable();
    for row in 1..=rows {
        lines[row] = lines[row - 1];
        while let Some(cell) = cells.next_if(|cell| cell.end() == row) {
            lines[row] = lines[row].max(lines[cell.row] + cell.tall);
        }
    }
    lines
}

/// The line above rows that begin a page.
fn ceiling(border: Border, edges: &Edges) -> Top {
    let stroke = line((0.0, 0.0), (edges.end(), 0.0), OUTER, Ink::Black);
    Top { height: 0.0, elements: if border == Border::None { Vec::new() } else { vec![stroke] } }
}

/// Backgrounds of labels.
fn fills(laid: &[Laid], lines: &[f64], edges: &Edges, elements: &mut Vec<Element>) {
    for cell in laid.iter().filter(|cell| cell.cell.scope.is_some()) {
        let (left, top) = (edges.left(cell.cell), lines[cell.row]);
        let size = (edges.right(cell.cell) - left, lines[cell.end()] - top);
        elements.push(Element::Fill { at: (left, top), size, ink: Ink::Tint });
    }
}

/// Lines within a group of rows and at its sides.
fn strokes(laid: &[Laid], lines: &[f64], edges: &Edges, border: Border, elements: &mut Vec<Element>) {
    let height = lines.last().copied().unwrap_or(0.0);
    let mut inner = Vec::new();
    for cell in laid {
        let (left, right) = (edges.left(cell.cell), edges.right(cell.cell));
        if border == Border::Grid && left > 0.0 {
            elements.push(line((left, lines[cell.row]), (left, lines[cell.end()]), INNER, Ink::Grey));
        }
        if cell.end() + 1 < lines.len() {
            inner.push((cell.end(), left, right));
        }
    }
    inner.sort_by(|one, other| one.0.cmp(&other.0).then(one.1.total_cmp(&other.1)));
    // Neighbours share one stroke: seams show.
    for strokes in inner.chunk_by(|one, other| one.0 == other.0 && (one.2 - other.1).abs() < EPSILON) {
        if let (Some(&(row, left, _)), Some(&(.., right))) = (strokes.first(), strokes.last()) {
            elements.push(line((left, lines[row]), (right, lines[row]), INNER, Ink::Grey));
        }
    }
    if border == Border::Grid {
        elements.push(line((0.0, 0.0), (0.0, height), OUTER, Ink::Black));
        elements.push(line((edges.end(), 0.0), (edges.end(), height), OUTER, Ink::Black));
    }
}

/// The same element, to be seen only.
fn ornament(mut element: Element) -> Element {
    match &mut element {
        Element::Text(run) => run.place = Place::Ornament,
        Element::Code { place, .. } | Element::Picture { place, .. } => *place = Place::Ornament,
        Element::Line { .. } | Element::Fill { .. } => {}
    }
    element
}
