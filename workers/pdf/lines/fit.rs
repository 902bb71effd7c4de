//! How much of a text fits on a line.

use super::class::Class;
use super::glyph::LineGlyph;

/// The line is too narrow for a single glyph.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct TooNarrow;

/// Least percentage of a line that is filled if a name breaks between its parts.
const MIN_FULL: i64 = 70;

/// Width of a line by its ink, without squeeze or stretch.
pub(super) fn width(line: &[LineGlyph]) -> i64 {
    let (Some(first), Some((last, rest))) = (line.first(), line.split_last()) else { return 0 };
    rest.iter().map(LineGlyph::step).sum::<i64>() + last.closed() - i64::from(first.lead())
}

/// Where the line from `start` ends; always beyond `start`.
pub(super) fn line_end(
    glyphs: &[LineGlyph],
    allowed: &[bool],
    start: usize,
    room: i64,
    is_name: bool,
) -> Result<usize, TooNarrow> {
    let mut used = -i64::from(glyphs[start].lead());
    let mut squeeze = 0;
    let (mut last, mut part) = (None, None);
    let mut at = start;
    loop {
        let Some(glyph) = glyphs.get(at) else { return Ok(at) };
        if at > start && allowed[at] {
            last = Some(at);
            if is_name && used * 100 >= room * MIN_FULL && is_part(glyphs[at - 1].class, glyph.class) {
                part = last;
            }
        }
        // Spaces hang over the end of the line.
        if used + glyph.closed() > room && !glyph.is_space() {
            break;
        }
        used += glyph.step();
        squeeze += i64::from(glyph.squeeze);
        at += 1;
    }
    if at == start {
        return Err(TooNarrow);
    }
    let squeezed = if last == Some(at) { None } else { squeezed(glyphs, allowed, at, (used, squeeze), room) };
    if squeezed == Some(glyphs.len()) {
        return Ok(glyphs.len());
    }
    let end = squeezed.or(last).unwrap_or_else(|| emergency(glyphs, start, at));
    if let Some(part) = part {
        return Ok(part);
    }
    // Avoids a last line of one glyph.
    let is_lonely = is_name && end + 1 == glyphs.len() && end > start + 1 && allowed[end - 1];
    Ok(if is_lonely { end - 1 } else { end })
}

/// The next allowed end of the line from `at` on, if squeezing makes the line fit.
fn squeezed(
    glyphs: &[LineGlyph],
    allowed: &[bool],
    mut at: usize,
    (mut used, mut squeeze): (i64, i64),
    room: i64,
) -> Option<usize> {
    loop {
        let glyph = glyphs.get(at)?;
        if used + glyph.closed() - squeeze > room && !glyph.is_space() {
            return None;
        }
        used += glyph.step();
        squeeze += i64::from(glyph.squeeze);
        at += 1;
        if allowed.get(at) != Some(&false) {
            return Some(at);
        }
    }
}

/// The latest place to cut an unbreakable piece of which `start..end` fits.
fn emergency(glyphs: &[LineGlyph], start: usize, end: usize) -> usize {
    let may_cut = |at: &usize| {
        let (before, after) = (glyphs[*at - 1].class, glyphs[*at].class);
        !before.is(Class::NEVER_LAST.or(Class::SPACE)) && !after.is(Class::NEVER_FIRST.or(Class::SPACE))
    };
    (start + 1..=end).rev().find(may_cut).unwrap_or(end)
}

/// Whether a part of a name ends between two glyphs.
fn is_part(before: Class, after: Class) -> bool {
    before.is(Class::SPACE.or(Class::CENTRED).or(Class::CLOSING)) || after.is(Class::OPENING)
}
