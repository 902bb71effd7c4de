//! Tables: cells, and the columns they must fill.
//!
//! A cell takes the first free column of its row, as in HTML. But HTML tolerates overlaps and holes; here
//! each is an error, because a shifted column is a value under the wrong label.

use roxmltree::Node;

use super::attributes::Attributes;
use super::blocks::{
    Align, BlockKind, Border, Cell, ColumnWidth, LetterSpacing, Row, Table, TextStyle, VerticalAlign,
};
use super::elements::spec_of;
use super::error::error_at;
use super::read::{Reader, only, spacing, text_style};
use crate::display_list::Scope;
use crate::error::PdfError;
use crate::fonts::Typeface;

/// The number of rows, from the present one, that cells occupy in each column.
struct Grid<'a> {
    occupied: Vec<u16>,
    /// The cell that extends furthest down, and its rows from the present one.
    last: Option<(u16, Node<'a, 'a>)>,
}

impl<'a> Grid<'a> {
    fn place(&mut self, cell: Node<'a, 'a>, columns: u16, rows: u16) -> Result<usize, PdfError> {
        let count = self.occupied.len();
        let free = self.occupied.iter().position(|&rows| rows == 0);
        let from = free.ok_or_else(|| {
            error_at(cell, format!("the row has no free column left: the table has {count}"))
        })?;
        let to = from + usize::from(columns);
        if to > count {
            return Err(error_at(
                cell,
                format!("the cell spans columns {} to {to} of a table with {count} columns", from + 1),
            ));
        }
        if self.occupied[from..to].iter().any(|&rows| rows > 0) {
            return Err(error_at(cell, "the cell overlaps a cell that spans rows from above"));
        }
        self.occupied[from..to].fill(rows);
        if self.last.is_none_or(|(left, _)| left <= rows) {
            self.last = Some((rows, cell));
        }
        Ok(from)
    }

    fn next_row(&mut self) {
        for rows in &mut self.occupied {
            *rows = rows.saturating_sub(1);
        }
        self.last =
            self.last.and_then(|(rows, cell)| Some((rows.checked_sub(1).filter(|rows| *rows > 0)?, cell)));
    }
}

impl Reader<'_> {
    pub(super) fn table(
        &self,
        node: Node,
        attributes: Attributes,
        around: TextStyle,
        depth: usize,
    ) -> Result<Table, PdfError> {
        let widths = attributes
            .widths("widths")?
            .unwrap_or_else(|| vec![ColumnWidth::Fraction(0.25), ColumnWidth::Rest]);
        let borders = [("rows", Border::Rows), ("grid", Border::Grid), ("none", Border::None)];
        let border = attributes.choice("border", &borders)?.unwrap_or(Border::Rows);
        let padding = attributes.length("padding")?.unwrap_or(4.5);
        let mut grid = Grid { occupied: vec![0; widths.len()], last: None };
        let (mut rows, mut heads) = (Vec::new(), 0);
        for row in only(node, &["row"])? {
            let row_spec = spec_of(row)?;
            let position = self.position(row, row_spec);
            let is_head = Attributes::of(row, row_spec, around.size)?
                .choice("head", &[("yes", true), ("no", false)])?
                .unwrap_or(false);
            match (is_head, heads == rows.len()) {
                (true, true) => heads += 1,
                (true, false) => {
                    return Err(error_at(row, "a head row must precede all other rows"));
                }
                (false, true) if let Some((_, cell)) = grid.last => {
                    return Err(error_at(cell, "the cell spans rows of the head and of the body".to_owned()));
                }
                (false, _) => {}
            }
            let mut cells = Vec::new();
            for cell in only(row, &["label", "value"])? {
                cells.push(
                    self.cell(cell, is_head, around, depth, |columns, rows| grid.place(cell, columns, rows))?,
                );
            }
            let filled = grid.occupied.iter().filter(|rows| **rows > 0).count();
            if filled < widths.len() {
                return Err(error_at(row, format!("the row fills {filled} of {} columns", widths.len())));
            }
            grid.next_row();
            rows.push(Row { position, cells });
        }
        match grid.last {
            None => Ok(Table { widths, border, padding, heads, rows }),
            Some((_, cell)) => Err(error_at(cell, "the cell spans more rows than the table has")),
        }
    }

    fn cell(
        &self,
        node: Node,
        is_head: bool,
        around: TextStyle,
        depth: usize,
        place: impl FnOnce(u16, u16) -> Result<usize, PdfError>,
    ) -> Result<Cell, PdfError> {
        let spec = spec_of(node)?;
        let attributes = Attributes::of(node, spec, around.size)?;
        let is_label = spec.name == "label";
        let columns = u16::from(attributes.count("columns")?.unwrap_or(1));
        let rows = u16::from(attributes.count("rows")?.unwrap_or(1));
        let column = place(columns, rows)?;
        let base = TextStyle {
            typeface: if is_label { Typeface::Gothic } else { around.typeface },
            leading: around.leading.min(1.5),
            ..around
        };
        let style = text_style(attributes, base)?;
        let mut content = self.content(node, style, attributes.align()?.unwrap_or(Align::Left), depth)?;
        let spacing = spacing(attributes, style)?;
        if spacing != LetterSpacing::None {
            match content.first_mut().map(|block| &mut block.kind) {
                Some(BlockKind::Text(text)) if text.tag.is_none() => text.spacing = spacing,
                _ => {
                    return Err(error_at(
                        node,
                        "tracking and spread require a <label> that contains only text".to_owned(),
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
            valign: attributes.valign()?.unwrap_or(VerticalAlign::Middle),
            content,
        })
    }
}
