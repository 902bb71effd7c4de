//! Tables: cells, and the grid they must fill.
//!
//! A cell takes the first free column of its row, as in other languages of tables; but where those close their eyes
//! to overlaps and holes, here each is an error: a shifted column is a value under the wrong label.

use roxmltree::Node;

use super::attributes::{Attributes, refused};
use super::read::{Reader, form, letters, only, spacing};
use super::{Align, Border, Cell, Kind, Letters, Row, Spacing, Table, Vertical, Width};
use crate::PdfError;
use crate::display::Scope;
use crate::fonts::Style;

/// Which columns cells from rows above reach into, and for how many rows from the present one.
struct Grid<'a> {
    busy: Vec<u16>,
    /// The cell that reaches furthest down.
    last: Option<(u16, Node<'a, 'a>)>,
}

impl<'a> Grid<'a> {
    /// Places a cell; gives its first column.
    fn place(&mut self, cell: Node<'a, 'a>, columns: u16, rows: u16) -> Result<usize, PdfError> {
        let count = self.busy.len();
        let free = self.busy.iter().position(|&rows| rows == 0);
        let from =
            free.ok_or_else(|| refused(cell, format!("no room in the row: the table has {count} columns")))?;
        let to = from + usize::from(columns);
        if to > count {
            return Err(refused(
                cell,
                format!("a cell of {columns} columns from column {} in a table of {count} columns", from + 1),
            ));
        }
        if self.busy[from..to].iter().any(|&rows| rows > 0) {
            return Err(refused(cell, "a cell overlaps one that spans rows from above".to_owned()));
        }
        self.busy[from..to].fill(rows);
        if self.last.is_none_or(|(left, _)| left <= rows) {
            self.last = Some((rows, cell));
        }
        Ok(from)
    }

    /// Goes on to the next row.
    fn next_row(&mut self) {
        for rows in &mut self.busy {
            *rows = rows.saturating_sub(1);
        }
        self.last =
            self.last.and_then(|(rows, cell)| Some((rows.checked_sub(1).filter(|rows| *rows > 0)?, cell)));
    }
}

impl Reader<'_> {
    /// Reads a `<table>`.
    pub(super) fn table(
        &self,
        node: Node,
        attributes: Attributes,
        around: Letters,
        depth: usize,
    ) -> Result<Table, PdfError> {
        let widths = attributes.widths("widths")?.unwrap_or_else(|| vec![Width::Fraction(0.25), Width::Rest]);
        let borders = [("rows", Border::Rows), ("grid", Border::Grid), ("none", Border::None)];
        let border = attributes.choice("border", &borders)?.unwrap_or(Border::Rows);
        let padding = attributes.length("padding")?.unwrap_or(4.5);
        let mut grid = Grid { busy: vec![0; widths.len()], last: None };
        let (mut rows, mut heads) = (Vec::new(), 0);
        for row in only(node, &["row"])? {
            let row_form = form(row)?;
            let position = self.position(row, row_form);
            let is_head = Attributes::of(row, row_form, around.size)?
                .choice("head", &[("yes", true), ("no", false)])?
                .unwrap_or(false);
            match (is_head, heads == rows.len()) {
                (true, true) => heads += 1,
                (true, false) => {
                    return Err(refused(row, "a head row stands at the beginning of its table".to_owned()));
                }
                (false, true) if let Some((_, cell)) = grid.last => {
                    return Err(refused(
                        cell,
                        "a cell spans rows from the table's head into its body".to_owned(),
                    ));
                }
                (false, _) => {}
            }
            let mut cells = Vec::new();
            for cell in only(row, &["label", "value"])? {
                cells.push(
                    self.cell(cell, is_head, around, depth, |columns, rows| grid.place(cell, columns, rows))?,
                );
            }
            let filled = grid.busy.iter().filter(|rows| **rows > 0).count();
            if filled < widths.len() {
                return Err(refused(
                    row,
                    format!("a row fills {filled} of the table's {} columns", widths.len()),
                ));
            }
            grid.next_row();
            rows.push(Row { position, cells });
        }
        match grid.last {
            None => Ok(Table { widths, border, padding, heads, rows }),
            Some((_, cell)) => Err(refused(cell, "a cell spans more rows than its table has".to_owned())),
        }
    }

    fn cell(
        &self,
        node: Node,
        is_head: bool,
        around: Letters,
        depth: usize,
        place: impl FnOnce(u16, u16) -> Result<usize, PdfError>,
    ) -> Result<Cell, PdfError> {
        let form = form(node)?;
        let attributes = Attributes::of(node, form, around.size)?;
        let is_label = form.name == "label";
        let columns = u16::from(attributes.count("columns")?.unwrap_or(1));
        let rows = u16::from(attributes.count("rows")?.unwrap_or(1));
        let column = place(columns, rows)?;
        let base = Letters {
            style: if is_label { Style::Gothic } else { around.style },
            leading: around.leading.min(1.5),
            ..around
        };
        let letters = letters(attributes, base)?;
        let mut content = self.content(node, letters, attributes.align()?.unwrap_or(Align::Left), depth)?;
        let spacing = spacing(attributes, letters)?;
        if spacing != Spacing::Natural {
            match content.first_mut().map(|block| &mut block.kind) {
                Some(Kind::Text(text)) if text.tag.is_none() => text.spacing = spacing,
                _ => {
                    return Err(refused(
                        node,
                        "letters are spaced in a <label> that holds text and nothing else".to_owned(),
                    ));
                }
            }
        }
        let scope = is_label.then_some(if is_head { Scope::Column } else { Scope::Row });
        Ok(Cell {
            scope,
            column,
            columns,
            rows,
            valign: attributes.valign()?.unwrap_or(Vertical::Middle),
            content,
        })
    }
}
