//! How much of a text goes on a line.

use super::class::Class;
use super::{Letter, TooNarrow};

/// A name is broken at one of its parts when the line is at least this full, in percent.
const FULL: i64 = 70;

/// Width of a line without squeeze or stretch, by its ink.
pub(super) fn width(line: &[Letter]) -> i64 {
    let (Some(first), Some((last, rest))) = (line.first(), line.split_last()) else { return 0 };
    rest.iter().map(Letter::step).sum::<i64>() + last.closed() - i64::from(first.lead())
}

/// Where the line from `start` ends: never at `start`.
pub(super) fn line_end(
    letters: &[Letter],
    allowed: &[bool],
    start: usize,
    room: i64,
    is_name: bool,
) -> Result<usize, TooNarrow> {
    let mut used = -i64::from(letters[start].lead());
    let mut squeeze = 0;
    let (mut last, mut part) = (None, None);
    let mut at = start;
    loop {
        let Some(letter) = letters.get(at) else { return Ok(at) };
        if at > start && allowed[at] {
            last = Some(at);
            if is_name && used * 100 >= room * FULL && is_part(letters[at - 1].class, letter.class) {
                part = last;
            }
        }
        // Spaces hang over the end of the line.
        if used + letter.closed() > room && !letter.is_space() {
            break;
        }
        used += letter.step();
        squeeze += i64::from(letter.squeeze);
        at += 1;
    }
    if at == start {
        return Err(TooNarrow);
    }
    let squeezed =
        if last == Some(at) { None } else { squeezed(letters, allowed, at, (used, squeeze), room) };
    if squeezed == Some(letters.len()) {
        return Ok(letters.len());
    }
    let end = squeezed.or(last).unwrap_or_else(|| emergency(letters, start, at));
    if let Some(part) = part {
        return Ok(part);
    }
    // A last line of one letter is no line.
    let is_lonely = is_name && end + 1 == letters.len() && end > start + 1 && allowed[end - 1];
    Ok(if is_lonely { end - 1 } else { end })
}

/// The next place from `at` on where a line may end, if squeezing its spaces makes it fit.
fn squeezed(
    letters: &[Letter],
    allowed: &[bool],
    mut at: usize,
    (mut used, mut squeeze): (i64, i64),
    room: i64,
) -> Option<usize> {
    loop {
        let letter = letters.get(at)?;
        if used + letter.closed() - squeeze > room && !letter.is_space() {
            return None;
        }
        used += letter.step();
        squeeze += i64::from(letter.squeeze);
        at += 1;
        if allowed.get(at) != Some(&false) {
            return Some(at);
        }
    }
}

/// Where to cut an unbreakable piece of which `start..end` fits: as late as a line may end and start.
fn emergency(letters: &[Letter], start: usize, end: usize) -> usize {
    let may_cut = |at: &usize| {
        let (before, after) = (letters[*at - 1].class, letters[*at].class);
        !before.is(Class::NEVER_LAST.or(Class::SPACE)) && !after.is(Class::NEVER_FIRST.or(Class::SPACE))
    };
    (start + 1..=end).rev().find(may_cut).unwrap_or(end)
}

/// Whether a part of a name ends between the two.
fn is_part(before: Class, after: Class) -> bool {
    before.is(Class::SPACE.or(Class::CENTRED).or(Class::CLOSING)) || after.is(Class::OPENING)
}
