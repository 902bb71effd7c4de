//! Attributes of an element: only known ones, each of its type.

use roxmltree::Node;

use super::elements::{Form, nearest};
use super::{Align, Vertical, Width};
use crate::PdfError;
use crate::display::Ink;
use crate::fonts::Style;

/// Points in a millimetre.
const MILLIMETRE: f64 = 72.0 / 25.4;

/// Sizes of letters that can be read, points.
const SMALLEST: f64 = 1.0;

/// An error at a node. `problem` must not repeat text of the document: it may be personal.
pub(super) fn refused(node: Node, problem: String) -> PdfError {
    let at = node.document().text_pos_at(node.range().start);
    PdfError::Markup { line: at.row, column: at.col, problem }
}

/// The attributes of an element.
#[derive(Clone, Copy)]
pub(super) struct Attributes<'a> {
    node: Node<'a, 'a>,
    /// Size of the letters around: what `em` means.
    em: f64,
}

impl<'a> Attributes<'a> {
    /// Checks that all attributes are those of the element.
    pub(super) fn of(node: Node<'a, 'a>, form: &Form, em: f64) -> Result<Self, PdfError> {
        let known = form.attributes;
        match node
            .attributes()
            .find(|attribute| attribute.namespace().is_some() || !known.contains(&attribute.name()))
        {
            None => Ok(Self { node, em }),
            Some(attribute) => {
                let name = attribute.name();
                let hint = nearest(name, known.iter().copied())
                    .map(|word| format!("; did you mean {word}?"))
                    .unwrap_or_default();
                Err(refused(node, format!("<{}> has no attribute {name}{hint}", form.name)))
            }
        }
    }

    /// The same attributes, where `em` means another size.
    pub(super) fn with_em(self, em: f64) -> Self {
        Self { em, ..self }
    }

    /// The attribute as it is.
    pub(super) fn text(self, name: &str) -> Option<&'a str> {
        self.node.attribute(name)
    }

    fn typed<T>(
        self,
        name: &str,
        kind: &str,
        parse: impl Fn(&str) -> Option<T>,
    ) -> Result<Option<T>, PdfError> {
        match self.node.attribute(name) {
            None => Ok(None),
            Some(value) => match parse(value) {
                Some(value) => Ok(Some(value)),
                None => Err(refused(
                    self.node,
                    format!("attribute {name} of <{}> is not {kind}", self.node.tag_name().name()),
                )),
            },
        }
    }

    /// A length in points: `3mm`, `1.5em` or `12pt`.
    pub(super) fn length(self, name: &str) -> Result<Option<f64>, PdfError> {
        self.typed(name, "a length (mm, pt or em)", |value| length(value, self.em))
    }

    /// A size of letters.
    pub(super) fn size(self, name: &str) -> Result<Option<f64>, PdfError> {
        let size = |value: &str| length(value, self.em).filter(|size| *size >= SMALLEST);
        self.typed(name, "a length (mm, pt or em) of 1pt or more", size)
    }

    /// A length greater than zero.
    pub(super) fn extent(self, name: &str) -> Result<Option<f64>, PdfError> {
        self.typed(name, "a length (mm, pt or em) greater than zero", |value| {
            length(value, self.em).filter(|length| *length > 0.0)
        })
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

    /// A height of lines as a multiple of the letters' size.
    pub(super) fn leading(self) -> Result<Option<f64>, PdfError> {
        self.typed("leading", "a number from 0.5 to 10", |value| {
            value.parse().ok().filter(|number| (0.5..=10.0).contains(number))
        })
    }

    /// A whole number from 1 to 99.
    pub(super) fn count(self, name: &str) -> Result<Option<u8>, PdfError> {
        self.typed(name, "a number from 1 to 99", |value| {
            value.parse().ok().filter(|count| (1..=99).contains(count))
        })
    }

    /// One of a few words.
    pub(super) fn choice<T: Copy>(self, name: &str, choices: &[(&str, T)]) -> Result<Option<T>, PdfError> {
        // Most are not given: nothing is prepared to complain of them.
        if self.node.attribute(name).is_none() {
            return Ok(None);
        }
        let words: Vec<_> = choices.iter().map(|(word, _)| *word).collect();
        self.typed(name, &format!("one of {}", words.join(", ")), |value| {
            choices.iter().find(|(word, _)| *word == value).map(|(_, choice)| *choice)
        })
    }

    /// `align`.
    pub(super) fn align(self) -> Result<Option<Align>, PdfError> {
        self.choice(
            "align",
            &[
                ("left", Align::Left),
                ("center", Align::Center),
                ("right", Align::Right),
                ("justify", Align::Justify),
            ],
        )
    }

    /// `align` of something that is no text.
    pub(super) fn place(self) -> Result<Option<Align>, PdfError> {
        self.choice("align", &[("left", Align::Left), ("center", Align::Center), ("right", Align::Right)])
    }

    /// `valign`.
    pub(super) fn valign(self) -> Result<Option<Vertical>, PdfError> {
        self.choice(
            "valign",
            &[("top", Vertical::Top), ("middle", Vertical::Middle), ("bottom", Vertical::Bottom)],
        )
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
    let (number, unit) = [("mm", MILLIMETRE), ("pt", 1.0), ("em", em)]
        .iter()
        .find_map(|(unit, points)| Some((text.strip_suffix(unit)?, *points)))?;
    let number: f64 = number.parse().ok()?;
    (number.is_finite() && (0.0..=10_000.0).contains(&number)).then_some(number * unit)
}

fn width(text: &str, em: f64) -> Option<Width> {
    if text == "*" {
        return Some(Width::Rest);
    }
    match text.strip_suffix('%') {
        Some(percent) => percent
            .parse()
            .ok()
            .filter(|percent| (0.0..=100.0).contains(percent))
            .map(|percent: f64| Width::Fraction(percent / 100.0)),
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
