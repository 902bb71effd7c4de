//! Builds `glyf` programs of flattened composite glyphs and cubic curves.
//!
//! A cubic curve becomes a chain of quadratic ones with implied points between them, as TrueType stores them
//! (kurbo's fit, the same as in the tools of font makers). Rejected: an adaptive subdivision of our own,
//! which needs about half as many points again for the same error.

use kurbo::{CubicBez, Point};
use ttf_parser::OutlineBuilder;

/// Largest error of a fitted curve, in 1/1000 em; rounding adds half a unit.
const TOLERANCE: f64 = 0.4;

/// Most points of an outline that `maxp` can state.
const MAX_POINTS: usize = u16::MAX as usize;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Vertex {
    x: i16,
    y: i16,
    on_curve: bool,
}

/// The contours of a glyph in whole font units.
pub(super) struct Outline {
    contours: Vec<Vec<Vertex>>,
    points: usize,
    pen: Point,
    tolerance: f64,
    problem: Option<&'static str>,
}

#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Extent {
    pub(super) points: u16,
    pub(super) contours: u16,
}

impl Outline {
    pub(super) fn new(units: u16) -> Self {
        Self {
            contours: Vec::new(),
            points: 0,
            pen: Point::ZERO,
            tolerance: TOLERANCE * f64::from(units) / 1000.0,
            problem: None,
        }
    }

    /// PostScript fills the area left of a contour, TrueType the area right of it.
    pub(super) fn reversed(mut self) -> Self {
        for contour in &mut self.contours {
            // The first point of a contour stays first.
            contour[1..].reverse();
        }
        self
    }

    /// Appends a simple glyph of even length without instructions; a blank is empty.
    pub(super) fn write(&self, out: &mut Vec<u8>) -> Result<Extent, &'static str> {
        const TOO_MANY: &str = "an outline has too many points";
        if let Some(problem) = self.problem {
            return Err(problem);
        }
        let points: Vec<Vertex> = self.contours.iter().flatten().copied().collect();
        let Some(first) = points.first() else { return Ok(Extent::default()) };
        let [mut left, mut bottom, mut right, mut top] = [first.x, first.y, first.x, first.y];
        for point in &points {
            (left, right) = (left.min(point.x), right.max(point.x));
            (bottom, top) = (bottom.min(point.y), top.max(point.y));
        }
        let contours = i16::try_from(self.contours.len()).map_err(|_| TOO_MANY)?;
        let extent = Extent {
            points: u16::try_from(points.len()).map_err(|_| TOO_MANY)?,
            contours: contours.unsigned_abs(),
        };
        for value in [contours, left, bottom, right, top] {
            out.extend_from_slice(&value.to_be_bytes());
        }
        let mut end = 0_usize;
        for contour in &self.contours {
            end += contour.len();
            out.extend_from_slice(&u16::try_from(end - 1).map_err(|_| TOO_MANY)?.to_be_bytes());
        }
        out.extend_from_slice(&[0, 0]);
        coordinates(&points, out).ok_or(OUTSIDE)?;
        if !out.len().is_multiple_of(2) {
            out.push(0);
        }
        Ok(extent)
    }

    fn add(&mut self, point: Point, on_curve: bool) {
        self.points += 1;
        if self.points > MAX_POINTS {
            self.problem = Some("an outline has too many points");
        }
        let (Some(x), Some(y)) = (unit(point.x), unit(point.y)) else {
            self.problem = Some(OUTSIDE);
            return;
        };
        if self.problem.is_none()
            && let Some(contour) = self.contours.last_mut()
        {
            contour.push(Vertex { x, y, on_curve });
        }
    }
}

const OUTSIDE: &str = "an outline has coordinates beyond the range of a glyf table";

#[expect(clippy::cast_possible_truncation, reason = "rounded and within the range")]
fn unit(value: f64) -> Option<i16> {
    let value = value.round();
    (f64::from(i16::MIN)..=f64::from(i16::MAX)).contains(&value).then_some(value as i16)
}

/// Appends flags, then x, then y, each in its shortest form.
fn coordinates(points: &[Vertex], out: &mut Vec<u8>) -> Option<()> {
    const ON_CURVE: u8 = 1;
    const REPEAT: u8 = 8;
    // A short x or y: the bit three places higher then states that it is positive. Without a short one, that
    // bit states that the step is zero and omitted.
    const SHORT: [u8; 2] = [2, 4];
    const SAME: [u8; 2] = [16, 32];
    let mut flags: Vec<(u8, u8)> = Vec::with_capacity(points.len());
    let mut axes = [Vec::with_capacity(points.len()), Vec::with_capacity(points.len())];
    let mut last = [0, 0];
    for point in points {
        let mut flag = if point.on_curve { ON_CURVE } else { 0 };
        for (axis, value) in [point.x, point.y].into_iter().enumerate() {
            let step = i16::try_from(i32::from(value) - i32::from(last[axis])).ok()?;
            last[axis] = value;
            match (step, u8::try_from(step.unsigned_abs())) {
                (0, _) => flag |= SAME[axis],
                (_, Ok(short)) => {
                    flag |= SHORT[axis] | if step > 0 { SAME[axis] } else { 0 };
                    axes[axis].push(short);
                }
                (_, Err(_)) => axes[axis].extend_from_slice(&step.to_be_bytes()),
            }
        }
        match flags.last_mut() {
            Some((same, times)) if *same == flag && *times < u8::MAX => *times += 1,
            _ => flags.push((flag, 0)),
        }
    }
    for (flag, times) in flags {
        match times {
            0 => out.push(flag),
            times => out.extend_from_slice(&[flag | REPEAT, times]),
        }
    }
    out.extend(axes.into_iter().flatten());
    Some(())
}

impl OutlineBuilder for Outline {
    fn move_to(&mut self, x: f32, y: f32) {
        self.pen = Point::new(x.into(), y.into());
        if self.problem.is_none() {
            self.contours.push(Vec::new());
        }
        self.add(self.pen, true);
    }

    fn line_to(&mut self, x: f32, y: f32) {
        self.pen = Point::new(x.into(), y.into());
        self.add(self.pen, true);
    }

    fn quad_to(&mut self, x1: f32, y1: f32, x: f32, y: f32) {
        self.pen = Point::new(x.into(), y.into());
        self.add(Point::new(x1.into(), y1.into()), false);
        self.add(self.pen, true);
    }

    fn curve_to(&mut self, x1: f32, y1: f32, x2: f32, y2: f32, x: f32, y: f32) {
        let from = self.pen;
        self.pen = Point::new(x.into(), y.into());
        let curve =
            CubicBez::new(from, Point::new(x1.into(), y1.into()), Point::new(x2.into(), y2.into()), self.pen);
        match curve.approx_spline(self.tolerance) {
            Some(spline) => {
                let controls = spline.points();
                for control in &controls[1..controls.len() - 1] {
                    self.add(*control, false);
                }
                self.add(self.pen, true);
            }
            None => self.problem = Some("an outline has a curve that cannot be fitted"),
        }
    }

    fn close(&mut self) {
        if let Some(contour) = self.contours.last_mut()
            && contour.len() > 1
            && contour.first() == contour.last()
        {
            contour.pop();
        }
    }
}
