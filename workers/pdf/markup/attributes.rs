//! Attributes of an element: only known ones, each of its type.

use roxmltree::Node;

use super::{Align, Position, Width};
use crate::pdf::PdfError;
use crate::pdf::display::Ink;
use crate::pdf::fonts::Style;

/// Points in a millimetre.
const MILLIMETRE: f64 = 72.0 / 25.4;

/// Where a node begins.
pub(super) fn position(node: Node) -> Position {
    let at = node.document().text_pos_at(node.range().start);
    Position { line: at.row, column: at.col }
}

/// An error at a node. `problem` must not repeat text of the document: it may be personal.
pub(super) fn refused(node: Node, problem: String) -> PdfError {
    let Position { line, column } = position(node);
    PdfError::Markup { line, column, problem }
}

/// The attributes of an element.
#[derive(Clone, Copy)]
pub(super) struct Attributes<'a> {
    node: Node<'a, 'a>,
    /// Size of the letters around: what `em` means.
    em: f64,
}

impl<'a> Attributes<'a> {
    /// Checks that all attributes are known.
    pub(super) fn of(node: Node<'a, 'a>, known: &[&str], em: f64) -> Result<Self, PdfError> {
        match node.attributes().find(|attribute| attribute.namespace().is_some() || !known.contains(&attribute.name())) {
            None => Ok(Self { node, em }),
            Some(attribute) => {
                let text = format!("<{}> has no attribute {}", node.tag_name().name(), attribute.name());
                Err(refused(node, text))
            }
        }
    }

    /// The attribute as it is.
    pub(super) fn text(self, name: &str) -> Option<&'a str> {
        self.node.attribute(name)
    }

    fn typed<T>(self, name: &str, kind: &str, parse: impl Fn(&str) -> Option<T>) -> Result<Option<T>, PdfError> {
        match self.node.attribute(name) {
            None => Ok(None),
            Some(value) => match parse(value) {
                Some(value) => Ok(Some(value)),
                None => Err(refused(self.node, format!("attribute {name} of <{}> is not {kind}", self.node.tag_name().name()))),
            },
        }
    }

    /// A length in points: `3mm`, `1.5em` or `12pt`.
    pub(super) fn length(self, name: &str) -> Result<Option<f64>, PdfError> {
        self.typed(name, "a length (mm, pt or em)", |value| length(value, self.em))
    }

    /// Lengths, separated by spaces.
    pub(super) fn lengths(self, name: &str) -> Result<Option<Vec<f64>>, PdfError> {
        self.typed(name, "a list of lengths (mm, pt or em)", |value| {
            value.split_ascii_whitespace().map(|length_of| length(length_of, self.em)).collect()
        })
    }

    /// Widths of columns: lengths, `30%`, `*`.
    pub(super) fn widths(self, name: &str) -> Result<Option<Vec<Width>>, PdfError> {
        self.typed(name, "a list of widths (a length, a percentage or *)", |value| {
            value.split_ascii_whitespace().map(|text| width(text, self.em)).collect()
        })
    }

    /// A plain number greater than zero.
    pub(super) fn number(self, name: &str) -> Result<Option<f64>, PdfError> {
        self.typed(name, "a positive number", |value| value.parse().ok().filter(|number: &f64| number.is_finite() && *number > 0.0))
    }

    /// A whole number from 1 to 99.
    pub(super) fn count(self, name: &str) -> Result<Option<u8>, PdfError> {
        self.typed(name, "a number from 1 to 99", |value| value.parse().ok().filter(|count| (1..=99).contains(count)))
    }

    /// One of a few words.
    pub(super) fn choice<T: Copy>(self, name: &str, choices: &[(&str, T)]) -> Result<Option<T>, PdfError> {
        let words: Vec<_> = choices.iter().map(|(word, _)| *word).collect();
        self.typed(name, &format!("one of {}", words.join(", ")), |value| {
            choices.iter().find(|(word, _)| *word == value).map(|(_, choice)| *choice)
        })
    }

    /// `align`.
    pub(super) fn align(self) -> Result<Option<Align>, PdfError> {
        self.choice("align", &[("left", Align::Left), ("center", Align::Center), ("right", Align::Right), ("justify", Align::Justify)])
    }

    /// `face`.
    pub(super) fn face(self) -> Result<Option<Style>, PdfError> {
        self.choice("face", &[("mincho", Style::Mincho), ("gothic", Style::Gothic)])
    }

    /// `ink`.
    pub(super) fn ink(self) -> Result<Option<Ink>, PdfError> {
        self.choice("ink", &[("black", Ink::Black), ("grey", Ink::Grey), ("accent", Ink::Accent)])
    }
}

fn length(text: &str, em: f64) -> Option<f64> {
    let (number, unit) =
        [("mm", MILLIMETRE), ("pt", 1.0), ("em", em)].iter().find_map(|(unit, points)| Some((text.strip_suffix(unit)?, *points)))?;
    let number: f64 = number.parse().ok()?;
    (number.is_finite() && (0.0..=10_000.0).contains(&number)).then_some(number * unit)
}

fn width(text: &str, em: f64) -> Option<Width> {
    if text == "*" {
        return Some(Width::Rest);
    }
    match text.strip_suffix('%') {
        Some(percent) => {
            percent.parse().ok().filter(|percent| (0.0..=100.0).contains(percent)).map(|percent: f64| Width::Fraction(percent / 100.0))
        }
        None => length(text, em).map(Width::Points),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lengths_have_units() {
        assert_eq!(length("25.4mm", 10.0), Some(72.0));
        assert_eq!(length("1.5em", 10.0), Some(15.0));
        for wrong in ["", "5", "mm", "-1mm", "NaNmm", "1e9pt", "5 mm"] {
            assert_eq!(length(wrong, 10.0), None, "{wrong}");
        }
    }
}
