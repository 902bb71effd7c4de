//! QR codes and pictures.

use std::rc::Rc;
use std::sync::Arc;

use qrcodegen::{Mask, QrCode, QrCodeEcc, QrSegment, Version};

use super::piece::{Layout, Piece, check_width, offset};
use crate::display_list::{Element, Owner, QrModules, Tag};
use crate::error::PdfError;
use crate::markup::{Align, Image, Position};

/// Light modules around a QR code; the standard requires four.
const QUIET_ZONE: f64 = 4.0;

impl Layout<'_> {
    /// The mask is fixed: scanners read any, and the search for the best one takes
    /// longer than the rest of the layout.
    pub(super) fn qr_code(
        &mut self,
        position: Position,
        data: &str,
        size: f64,
        align: Align,
        alternative: &str,
        width: f64,
    ) -> Result<Piece, PdfError> {
        check_width(position, size, width)?;
        let Position { line, column, .. } = position;
        let segments = QrSegment::make_segments(data);
        let code = QrCode::encode_segments_advanced(
            &segments,
            QrCodeEcc::Medium,
            Version::MIN,
            Version::MAX,
            Some(Mask::new(4)),
            false,
        )
        .map_err(|source| PdfError::QrCode { line, column, length: data.len(), source })?;
        let edge = code.size();
        let dark = (0..edge)
            .flat_map(|y| (0..edge).map(move |x| (x, y)))
            .map(|(x, y)| code.get_module(x, y))
            .collect();
        let modules = Rc::new(QrModules { size: edge.unsigned_abs() as usize, dark });
        let module = size / (f64::from(edge) + 2.0 * QUIET_ZONE);
        let owner = Owner::Node(self.add_node(Tag::Figure { alternative: alternative.to_owned() }));
        let at = (offset(align, width, size) + module * QUIET_ZONE, module * QUIET_ZONE);
        let elements = vec![Element::QrCode { at, size: module * f64::from(edge), modules, owner }];
        Ok(Piece::new(position, size, elements))
    }

    /// A picture. Its overlap is negative space before it, at most its height.
    pub(super) fn image(&mut self, position: Position, image: &Image, width: f64) -> Result<Piece, PdfError> {
        let Position { line, column, .. } = position;
        let picture = self.pictures.get(&image.name).ok_or(PdfError::NoPicture { line, column })?;
        check_width(position, image.width, width)?;
        let height = image.width * f64::from(picture.height) / f64::from(picture.width);
        let picture = Arc::clone(picture);
        let owner = Owner::Node(self.add_node(Tag::Figure { alternative: image.alternative.clone() }));
        let at = (offset(image.align, width, image.width), 0.0);
        let elements = vec![Element::Picture { at, size: (image.width, height), picture, owner }];
        Ok(Piece { before: -image.overlap.min(height), ..Piece::new(position, height, elements) })
    }
}
