//! Typed access to the attributes of an element.

use roxmltree::Node;

use super::blocks::{Align, ColumnWidth, VerticalAlign};
use super::elements::{ElementSpec, nearest};
use super::error::error_at;
use crate::display_list::Ink;
use crate::error::PdfError;
use crate::fonts::Typeface;

const MILLIMETRE: f64 = 72.0 / 25.4;

/// Smallest font size, in points.
const MIN_SIZE: f64 = 1.0;

#[derive(Clone, Copy)]
pub(super) struct Attributes<'a> {
    node: Node<'a, 'a>,
    /// The font size that `em` refers to.
    em: f64,
}

impl<'a> Attributes<'a> {
    /// Fails if the element has an unknown attribute.
    pub(super) fn of(node: Node<'a, 'a>, spec: &ElementSpec, em: f64) -> Result<Self, PdfError> {
        let known = spec.attributes;
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
                Err(error_at(node, format!("<{}> has no attribute {name}{hint}", spec.name)))
            }
        }
    }

    pub(super) fn with_em(self, em: f64) -> Self {
        Self { em, ..self }
    }

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
                None => Err(error_at(
                    self.node,
                    format!("attribute {name} of <{}> must be {kind}", self.node.tag_name().name()),
                )),
            },
        }
    }

    /// A length in points: `3mm`, `1.5em` or `12pt`.
    pub(super) fn length(self, name: &str) -> Result<Option<f64>, PdfError> {
        self.typed(name, "a length (mm, pt or em)", |value| length(value, self.em))
    }

    pub(super) fn size(self, name: &str) -> Result<Option<f64>, PdfError> {
        let size = |value: &str| length(value, self.em).filter(|size| *size >= MIN_SIZE);
        self.typed(name, "a length (mm, pt or em) of at least 1pt", size)
    }

    /// A length greater than zero.
    pub(super) fn extent(self, name: &str) -> Result<Option<f64>, PdfError> {
        self.typed(name, "a length (mm, pt or em) greater than zero", |value| {
            length(value, self.em).filter(|length| *length > 0.0)
        })
    }

    pub(super) fn lengths(self, name: &str) -> Result<Option<Vec<f64>>, PdfError> {
        self.typed(name, "a list of lengths (mm, pt or em)", |value| {
            value.split_ascii_whitespace().map(|length_of| length(length_of, self.em)).collect()
        })
    }

    /// Column widths: lengths, `30%` or `*`.
    pub(super) fn widths(self, name: &str) -> Result<Option<Vec<ColumnWidth>>, PdfError> {
        self.typed(name, "a list of widths, each a length, a percentage or *", |value| {
            value.split_ascii_whitespace().map(|text| width(text, self.em)).collect()
        })
    }

    /// `leading`, a multiple of the font size.
    pub(super) fn leading(self) -> Result<Option<f64>, PdfError> {
        self.typed("leading", "a number from 0.5 to 10", |value| {
            value.parse().ok().filter(|number| (0.5..=10.0).contains(number))
        })
    }

    /// An integer from 1 to 99.
    pub(super) fn count(self, name: &str) -> Result<Option<u8>, PdfError> {
        self.typed(name, "an integer from 1 to 99", |value| {
            value.parse().ok().filter(|count| (1..=99).contains(count))
        })
    }

    pub(super) fn choice<T: Copy>(self, name: &str, choices: &[(&str, T)]) -> Result<Option<T>, PdfError> {
        // Most attributes are absent: the text of the error is not built for them.
        if self.node.attribute(name).is_none() {
            return Ok(None);
        }
        let words: Vec<_> = choices.iter().map(|(word, _)| *word).collect();
        self.typed(name, &format!("one of {}", words.join(", ")), |value| {
            choices.iter().find(|(word, _)| *word == value).map(|(_, choice)| *choice)
        })
    }

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

    /// `align` of an element that is not text: without `justify`.
    pub(super) fn block_align(self) -> Result<Option<Align>, PdfError> {
        self.choice("align", &[("left", Align::Left), ("center", Align::Center), ("right", Align::Right)])
    }

    pub(super) fn valign(self) -> Result<Option<VerticalAlign>, PdfError> {
        self.choice(
            "valign",
            &[
                ("top", VerticalAlign::Top),
                ("middle", VerticalAlign::Middle),
                ("bottom", VerticalAlign::Bottom),
            ],
        )
    }

    pub(super) fn face(self) -> Result<Option<Typeface>, PdfError> {
        self.choice("face", &[("mincho", Typeface::Mincho), ("gothic", Typeface::Gothic)])
    }

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

fn width(text: &str, em: f64) -> Option<ColumnWidth> {
    if text == "*" {
        return Some(ColumnWidth::Rest);
    }
    match text.strip_suffix('%') {
        Some(percent) => percent
            .parse()
            .ok()
            .filter(|percent| (0.0..=100.0).contains(percent))
            .map(|percent: f64| ColumnWidth::Fraction(percent / 100.0)),
        None => length(text, em).map(ColumnWidth::Points),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lengths_require_a_unit() {
        assert_eq!(length("25.4mm", 10.0), Some(72.0));
        assert_eq!(length("1.5em", 10.0), Some(15.0));
        for wrong in ["", "5", "mm", "-1mm", "NaNmm", "1e9pt", "5 mm"] {
            assert_eq!(length(wrong, 10.0), None, "{wrong}");
        }
    }
}
