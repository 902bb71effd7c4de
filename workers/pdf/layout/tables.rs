//! Tables: rows, cells that span several, and repeated heads.
//!
//! Rows that a cell ties together are one piece. A head is laid out once. On every further page its elements
//! are repeated as decoration: a screen reader has already read them.

use std::ops::Range;
use std::rc::Rc;

use super::frames::line;
use super::piece::{EPSILON, Layout, Piece, Top, moved, overflow};
use crate::display_list::{Element, Ink, NodeId, Owner, Tag};
use crate::error::PdfError;
use crate::markup::{Border, Cell, ColumnWidth, Position, Row, Table, VerticalAlign};

/// Space on the left and right of the content of a cell, in points.
const SIDE: f64 = 6.0;

/// Widths of the lines of a table, in points.
const OUTER: f64 = 0.8;
const INNER: f64 = 0.35;

struct LaidOut<'a> {
    cell: &'a Cell,
    /// Its first row within the piece.
    row: usize,
    tall: f64,
    elements: Vec<Element>,
}

impl LaidOut<'_> {
    fn end(&self) -> usize {
        self.row + usize::from(self.cell.rows)
    }
}

/// Where the columns of a table begin, and where the last one ends.
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
    /// A piece for each row, or for each group of rows that a cell ties together.
    pub(super) fn table(
        &mut self,
        position: Position,
        table: &Table,
        width: f64,
    ) -> Result<Vec<Piece>, PdfError> {
        let widths = ColumnWidth::resolve(&table.widths, width);
        let total = widths.iter().sum::<f64>();
        if widths.iter().any(|width| *width <= 2.0 * SIDE) || total > width + EPSILON {
            return Err(overflow(
                position,
                format!(
                    "the columns of the <table> do not fit: they take {total:.1}pt of {width:.1}pt, and each needs more than {:.1}pt",
                    2.0 * SIDE
                ),
            ));
        }
        let edge = |x: &mut f64, width: f64| {
            *x += width;
            Some(*x)
        };
        let edges = Edges(
            std::iter::once(0.0).chain(widths.into_iter().scan(0.0, |x, width| edge(x, width))).collect(),
        );
        let node = self.add_node(Tag::Table);
        let mut pieces = Vec::new();
        // On a further page, a line is drawn above a row of the head, and the head above a row of the body.
        let mut top = Rc::new(top_line(table.border, &edges));
        let mut head = Top::default();
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
                    piece.elements.iter().cloned().map(|element| decoration(element).moved(0.0, head.height)),
                );
                head.height += piece.height;
                if to >= table.heads {
                    top = Rc::new(std::mem::take(&mut head));
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

    fn group(
        &mut self,
        table_node: NodeId,
        table: &Table,
        range: Range<usize>,
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
                laid.push(LaidOut { cell, row: number, tall: tall + 2.0 * table.padding, elements });
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
                elements.append(&mut top_line(table.border, edges).elements);
            }
            let (stroke, ink) = if is_last { (OUTER, Ink::Black) } else { (INNER, Ink::Grey) };
            elements.push(line((0.0, height), (edges.end(), height), stroke, ink));
        }
        for cell in laid {
            let free = lines[cell.end()] - lines[cell.row] - cell.tall;
            let down = match cell.cell.valign {
                VerticalAlign::Top => 0.0,
                VerticalAlign::Middle => free / 2.0,
                VerticalAlign::Bottom => free,
            };
            let (x, y) = (edges.left(cell.cell) + SIDE, lines[cell.row] + table.padding + down);
            elements.extend(moved(cell.elements, x, y));
        }
        let position =
            rows.first().map_or(Position { line: 1, column: 1, element: "table" }, |row| row.position);
        Ok(Piece::new(position, height, elements))
    }
}

/// The row after the last one that cells tie to row `from`.
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

/// Where rows begin, and where the last one ends.
/// A row is as tall as its cells need; a cell of several rows makes the last of them taller if necessary.
fn lines(laid: &[LaidOut], rows: usize) -> Vec<f64> {
    let mut lines = vec![0.0_f64; rows + 1];
    let mut by_end: Vec<&LaidOut> = laid.iter().collect();
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

/// The line above a row that begins a page.
fn top_line(border: Border, edges: &Edges) -> Top {
    let stroke = line((0.0, 0.0), (edges.end(), 0.0), OUTER, Ink::Black);
    Top { height: 0.0, elements: if border == Border::None { Vec::new() } else { vec![stroke] } }
}

fn fills(laid: &[LaidOut], lines: &[f64], edges: &Edges, elements: &mut Vec<Element>) {
    for cell in laid.iter().filter(|cell| cell.cell.scope.is_some()) {
        let (left, top) = (edges.left(cell.cell), lines[cell.row]);
        let size = (edges.right(cell.cell) - left, lines[cell.end()] - top);
        elements.push(Element::Fill { at: (left, top), size, ink: Ink::Tint });
    }
}

/// The lines within a group of rows and at its sides.
fn strokes(laid: &[LaidOut], lines: &[f64], edges: &Edges, border: Border, elements: &mut Vec<Element>) {
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
    // Neighbours share one line, because seams are visible.
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

/// The same element, not read by screen readers.
fn decoration(mut element: Element) -> Element {
    match &mut element {
        Element::Text(run) => run.owner = Owner::Decoration,
        Element::QrCode { owner, .. } | Element::Picture { owner, .. } => *owner = Owner::Decoration,
        Element::Line { .. } | Element::Fill { .. } => {}
    }
    element
}
