//! Squeezes or stretches a line to its room.
//!
//! A justified line grows first between words and scripts and after punctuation, then evenly between glyphs,
//! but never inside a Latin word or a number. A line that needs more stays ragged: wide gaps look worse than
//! an uneven edge, and readers take a gap of a tenth of an em for a space.

use super::class::Class;
use super::fit;
use super::glyph::{LineGlyph, STEP};

/// Most space that justification adds to a glyph.
const MAX_SPACING: f64 = 60.0;

#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Line {
    /// Blank that hangs out on the left.
    pub(crate) lead: i16,
    /// Blank that hangs out on the right.
    pub(crate) trail: i16,
    /// Width between the two.
    pub(crate) width: i64,
    /// Space after every glyph that is not [`in_word`].
    pub(crate) spacing: f64,
}

/// Sets the pads of a line so that it fits its room, or fills it.
pub(crate) fn justify(line: &mut [LineGlyph], room: i64, fills: bool) -> Line {
    let mut width = fit::width(line);
    let Some((last, rest)) = line.split_last_mut() else {
        return Line { lead: 0, trail: 0, width: 0, spacing: 0.0 };
    };
    for glyph in rest.iter_mut() {
        glyph.drawn.pad = glyph.after;
    }
    last.drawn.pad = 0;
    let trail = last.trail();
    let lead = line[0].lead();
    let slack = room - width;
    let mut spacing = 0.0;
    if slack < 0 {
        let step = i64::from(STEP);
        width -= spread(line, |glyph| glyph.squeeze, (-slack + step - 1) / step, -1);
    } else if fills && slack > 0 {
        let most: i64 = inner(line).map(|glyph| i64::from(glyph.stretch)).sum();
        let left = slack - slack.min(most);
        let places = whole((0..line.len() - 1).filter(|at| !in_word(line, *at)).count());
        if left == 0 || whole_of(left) <= MAX_SPACING * places {
            width += spread(line, |glyph| glyph.stretch, slack.min(most) / i64::from(STEP), 1);
            // The remainder of the steps is distributed between all glyphs.
            let over = whole_of(room - width);
            if places > 0.0 && over <= MAX_SPACING * places {
                spacing = over / places;
                width = room;
            }
        }
    }
    Line { lead, trail, width, spacing }
}

/// Whether a glyph is part of a word or number: no space may follow it.
pub(crate) fn in_word(line: &[LineGlyph], at: usize) -> bool {
    let is_narrow =
        |at: Option<usize>| at.and_then(|at| line.get(at)).is_some_and(|glyph| glyph.class.is(Class::NARROW));
    is_narrow(Some(at)) && (is_narrow(at.checked_sub(1)) || is_narrow(Some(at + 1)))
}

/// The glyphs with a gap after them: all but the last.
fn inner(line: &[LineGlyph]) -> impl Iterator<Item = &LineGlyph> {
    line.split_last().into_iter().flat_map(|(_, rest)| rest)
}

/// Distributes steps by the capacity of each glyph; returns their sum.
fn spread(line: &mut [LineGlyph], capacity: fn(&LineGlyph) -> i16, steps: i64, sign: i16) -> i64 {
    let total: i64 = inner(line).map(|glyph| i64::from(capacity(glyph) / STEP)).sum();
    let steps = steps.min(total);
    let (mut seen, mut given) = (0, 0);
    let Some((_, rest)) = line.split_last_mut() else { return 0 };
    for glyph in rest {
        seen += i64::from(capacity(glyph) / STEP);
        let share = if total > 0 { steps * seen / total - given } else { 0 };
        given += share;
        glyph.drawn.pad += sign * STEP * i16::try_from(share).unwrap_or(0);
    }
    given * i64::from(STEP)
}

#[expect(clippy::cast_precision_loss, reason = "thousandths of a line: far below 2^53")]
fn whole_of(value: i64) -> f64 {
    value as f64
}

fn whole(count: usize) -> f64 {
    u32::try_from(count).map_or(f64::MAX, f64::from)
}
