//! QR codes and pictures.

use std::rc::Rc;
use std::sync::Arc;

use qrcodegen::{Mask, QrCode, QrCodeEcc, QrSegment, Version};

use super::{Align, EPSILON, Layout, Piece, Position, offset, overflow};
use crate::PdfError;
use crate::display::{Element, Modules, Place, Tag};
use crate::markup::Image;

/// Light modules around a QR code (its standard asks for four).
const QUIET: f64 = 4.0;

impl Layout<'_> {
    /// A QR code with its quiet zone. The mask is fixed: readers take any, and the search for the prettiest one
    /// takes longer than the rest of the layout.
    pub(super) fn code(
        &mut self,
        position: Position,
        data: &str,
        size: f64,
        align: Align,
        alternative: &str,
        width: f64,
    ) -> Result<Piece, PdfError> {
        if size > width + EPSILON {
            return Err(overflow(position, "a QR code is wider than its place"));
        }
        let segments = QrSegment::make_segments(data);
        let code = QrCode::encode_segments_advanced(
            &segments,
            QrCodeEcc::Medium,
            Version::MIN,
            Version::MAX,
            Some(Mask::new(4)),
            false,
        )
        .map_err(|source| PdfError::Code { source })?;
        let edge = code.size();
        let dark = (0..edge)
            .flat_map(|y| (0..edge).map(move |x| (x, y)))
            .map(|(x, y)| code.get_module(x, y))
            .collect();
        let modules = Rc::new(Modules { size: edge.unsigned_abs() as usize, dark });
        let module = size / (f64::from(edge) + 2.0 * QUIET);
        let place = Place::Node(self.part(Tag::Figure { alternative: alternative.to_owned() }));
        let at = (offset(align, width, size) + module * QUIET, module * QUIET);
        let elements = vec![Element::Code { at, size: module * f64::from(edge), modules, place }];
        Ok(Piece { position, before: 0.0, height: size, keep: false, elements, at_top: Vec::new() })
    }

    /// A picture. What it overlaps is space before it that is less than nothing, and never more than its height:
    /// what follows stands below what it was put over.
    pub(super) fn image(&mut self, position: Position, image: &Image, width: f64) -> Result<Piece, PdfError> {
        let Position { line, column, .. } = position;
        let picture = self.pictures.get(&image.name).ok_or(PdfError::NoPicture { line, column })?;
        if image.width > width + EPSILON {
            return Err(overflow(position, "an image is wider than its place"));
        }
        let height = image.width * f64::from(picture.height) / f64::from(picture.width);
        let picture = Arc::clone(picture);
        let place = Place::Node(self.part(Tag::Figure { alternative: image.alternative.clone() }));
        let at = (offset(image.align, width, image.width), 0.0);
        let elements = vec![Element::Picture { at, size: (image.width, height), picture, place }];
        Ok(Piece {
            position,
            before: -image.overlap.min(height),
            height,
            keep: false,
            elements,
            at_top: Vec::new(),
        })
    }
}
