use super::class::Class;
use crate::display_list::Glyph;

/// The blank half of full-width punctuation.
pub(super) const BLANK: i16 = 500;

/// Pads are multiples of this.
pub(super) const STEP: i16 = 25;

/// A glyph on its way into a line, and the space between it and the next one.
#[derive(Debug, Clone, Copy)]
pub(crate) struct LineGlyph {
    /// Its pad is set when its line is justified.
    pub(crate) drawn: Glyph,
    pub(crate) face: u8,
    pub(crate) advance: u16,
    pub(super) class: Class,
    /// How much may be taken from its blank side: [`BLANK`] or nothing.
    pub(super) blank: i16,
    /// Space to the next glyph; negative if blanks overlap.
    pub(super) after: i16,
    pub(super) squeeze: i16,
    pub(super) stretch: i16,
}

impl LineGlyph {
    /// A glyph of `advance`; `ink` returns the left and right end of its ink.
    pub(crate) fn new(drawn: Glyph, face: u8, advance: u16, ink: impl FnOnce() -> (i16, i16)) -> Self {
        let mut class = Class::of(drawn.character);
        let mut blank = 0;
        if advance >= 1000 {
            // Some faces draw Greek, Cyrillic and quotation marks in a full square.
            class = class.without(Class::LATIN.or(Class::NARROW));
            if advance == 1000 && class.is(Class::OPENING.or(Class::CLOSING)) {
                let (left, right) = ink();
                let free = if class.is(Class::OPENING) { left } else { 1000 - right };
                blank = if free >= BLANK - STEP { BLANK } else { 0 };
            }
        }
        Self { drawn, face, advance, class, blank, after: 0, squeeze: 0, stretch: 0 }
    }

    pub(super) fn is_space(&self) -> bool {
        self.class.is(Class::SPACE)
    }

    /// The blank that hangs out at the start of a line.
    pub(super) fn lead(&self) -> i16 {
        if self.class.is(Class::OPENING) { self.blank } else { 0 }
    }

    /// The blank that hangs out at the end of a line.
    pub(super) fn trail(&self) -> i16 {
        if self.class.is(Class::CLOSING) { self.blank } else { 0 }
    }

    /// Width up to the next glyph.
    pub(super) fn step(&self) -> i64 {
        i64::from(self.advance) + i64::from(self.after)
    }

    /// Width at the end of a line.
    pub(super) fn closed(&self) -> i64 {
        i64::from(self.advance) - i64::from(self.trail())
    }
}
