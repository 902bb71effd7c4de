//! Where the letters of a line stand: squeeze and stretch, spread over the places that bear them.
//!
//! A justified line grows first between words and scripts and after punctuation, then evenly between letters, but
//! never within a Latin word or a number. A line that would need more than that stays ragged: gaps look worse than an
//! uneven edge, and from a tenth of an em on a gap between letters is read as a space.

use super::class::Class;
use super::{Letter, STEP, fit};

/// The most that justification adds to a letter.
const MOST_SPACING: f64 = 60.0;

/// A line whose letters have their pads.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Line {
    /// What hangs out on the left.
    pub(crate) lead: i16,
    /// What hangs out on the right.
    pub(crate) trail: i16,
    /// Width between the two.
    pub(crate) width: i64,
    /// Space after every letter that is not [`in_word`].
    pub(crate) spacing: f64,
}

/// Gives the letters of a line their pads, so that it fits its room, or fills it.
pub(crate) fn set(line: &mut [Letter], room: i64, fills: bool) -> Line {
    let mut width = fit::width(line);
    let Some((last, rest)) = line.split_last_mut() else {
        return Line { lead: 0, trail: 0, width: 0, spacing: 0.0 };
    };
    for letter in rest.iter_mut() {
        letter.drawn.pad = letter.after;
    }
    last.drawn.pad = 0;
    let trail = last.trail();
    let lead = line[0].lead();
    let slack = room - width;
    let mut spacing = 0.0;
    if slack < 0 {
        let step = i64::from(STEP);
        width -= spread(line, |letter| letter.squeeze, (-slack + step - 1) / step, -1);
    } else if fills && slack > 0 {
        let most: i64 = inner(line).map(|letter| i64::from(letter.stretch)).sum();
        let left = slack - slack.min(most);
        let places = whole((0..line.len() - 1).filter(|at| !in_word(line, *at)).count());
        if left == 0 || whole_of(left) <= MOST_SPACING * places {
            width += spread(line, |letter| letter.stretch, slack.min(most) / i64::from(STEP), 1);
            // What the steps leave over goes between letters, if there are any.
            let over = whole_of(room - width);
            if places > 0.0 && over <= MOST_SPACING * places {
                spacing = over / places;
                width = room;
            }
        }
    }
    Line { lead, trail, width, spacing }
}

/// Whether a letter is one of a word or number: no space is added after it.
pub(crate) fn in_word(line: &[Letter], at: usize) -> bool {
    let is_narrow = |at: Option<usize>| {
        at.and_then(|at| line.get(at)).is_some_and(|letter| letter.class.is(Class::NARROW))
    };
    is_narrow(Some(at)) && (is_narrow(at.checked_sub(1)) || is_narrow(Some(at + 1)))
}

/// The letters with a space after them.
fn inner(line: &[Letter]) -> impl Iterator<Item = &Letter> {
    line.split_last().into_iter().flat_map(|(_, rest)| rest)
}

/// Spreads steps over the letters by how many each bears; returns what they come to.
fn spread(line: &mut [Letter], bears: fn(&Letter) -> i16, steps: i64, sign: i16) -> i64 {
    let total: i64 = inner(line).map(|letter| i64::from(bears(letter) / STEP)).sum();
    let steps = steps.min(total);
    let (mut seen, mut given) = (0, 0);
    let Some((_, rest)) = line.split_last_mut() else { return 0 };
    for letter in rest {
        seen += i64::from(bears(letter) / STEP);
        let share = if total > 0 { steps * seen / total - given } else { 0 };
        given += share;
        letter.drawn.pad += sign * STEP * i16::try_from(share).unwrap_or(0);
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
