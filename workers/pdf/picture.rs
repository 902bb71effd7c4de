//! Pictures: a seal, as a PNG of the surety's.
//!
//! Read once per process and kept in the form it has in every document: planes of colour and of transparency,
//! compressed. The header is judged before anything is unpacked, so that a small file that unfolds to gigabytes
//! costs nothing. Whatever the file says of itself (profiles, dates, texts) is left behind: a document says which
//! colours it means once, and the seal's history is nobody's business.
//!
//! Rejected: handing the PNG's own data to the PDF with its row filters. It spares unpacking, but not for pictures
//! with transparency, palettes or interlacing, so every seal would take another road.

use std::collections::HashMap;
use std::fmt;
use std::io::Cursor;
use std::sync::Arc;

use png::{ColorType, Decoder, Limits, Transformations};
use sha2::{Digest, Sha256};

use super::deflate;

/// Says why a picture cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum PictureError {
    /// The bytes are no PNG.
    #[error("the picture is not a PNG file that can be read: {0}")]
    Unreadable(String),
    /// It would make every document that much larger.
    #[error("the picture takes {bytes} bytes of every document; at most {most} are taken: fewer pixels, or no shades", most = Picture::MOST_BYTES)]
    TooHeavy {
        /// Bytes within a document.
        bytes: usize,
    },
    /// More pixels than a seal needs.
    #[error("the picture has {width} × {height} pixels; at most {most} × {most} are taken", most = Picture::MOST_PIXELS)]
    TooLarge {
        /// Pixels across.
        width: u32,
        /// Pixels down.
        height: u32,
    },
}

/// A picture, ready to be put into documents.
#[derive(PartialEq, Eq)]
pub struct Picture {
    /// Pixels across.
    pub(super) width: u32,
    /// Pixels down.
    pub(super) height: u32,
    /// Numbers of a pixel in `color`: 1 (grey) or 3 (red, green, blue).
    pub(super) channels: u8,
    /// Eight bits a number, rows from the top, as a zlib stream.
    pub(super) color: Vec<u8>,
    /// Opacity, eight bits a pixel, as a zlib stream; none when all is opaque.
    pub(super) alpha: Option<Vec<u8>>,
    /// SHA-256 of the PNG file, as lower-case hex.
    pub(super) sha256: String,
}

/// Pictures by the name that markup calls them by.
pub type Pictures = HashMap<String, Arc<Picture>>;

/// Shows what it is, not its pixels.
impl fmt::Debug for Picture {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Picture")
            .field("size", &(self.width, self.height))
            .field("sha256", &self.sha256)
            .finish_non_exhaustive()
    }
}

impl Picture {
    /// Edge of the largest picture, pixels.
    pub const MOST_PIXELS: u32 = 2000;

    /// What the largest picture takes in a document, compressed, bytes.
    pub const MOST_BYTES: usize = 64 * 1024;

    /// Pixels across and down.
    pub fn size(&self) -> (u32, u32) {
        (self.width, self.height)
    }

    /// Reads a PNG file of any kind.
    pub fn png(bytes: &[u8]) -> Result<Self, PictureError> {
        let unreadable = |error: png::DecodingError| PictureError::Unreadable(error.to_string());
        // Four bytes a pixel of the largest picture, and room for a row on the way.
        let most = Self::MOST_PIXELS as usize;
        let mut decoder =
            Decoder::new_with_limits(Cursor::new(bytes), Limits { bytes: most * (most + 64) * 8 });
        decoder.set_ignore_text_chunk(true);
        decoder.set_ignore_iccp_chunk(true);
        decoder.set_transformations(Transformations::normalize_to_color8());
        let header = decoder.read_header_info().map_err(unreadable)?;
        let (width, height) = (header.width, header.height);
        if width > Self::MOST_PIXELS || height > Self::MOST_PIXELS {
            return Err(PictureError::TooLarge { width, height });
        }
        let mut reader = decoder.read_info().map_err(unreadable)?;
        let size = reader.output_buffer_size().ok_or(PictureError::TooLarge { width, height })?;
        let mut pixels = vec![0; size];
        let frame = reader.next_frame(&mut pixels).map_err(unreadable)?;
        // Also what follows the pixels must be whole: a file that was cut short is not the seal that was approved.
        reader.finish().map_err(unreadable)?;
        pixels.truncate(frame.buffer_size());
        let (colors, has_alpha) = match frame.color_type {
            ColorType::Grayscale => (1, false),
            ColorType::GrayscaleAlpha => (1, true),
            ColorType::Rgb => (3, false),
            ColorType::Rgba => (3, true),
            ColorType::Indexed => {
                return Err(PictureError::Unreadable("its palette cannot be resolved".to_owned()));
            }
        };
        let stride = colors + usize::from(has_alpha);
        let is_grey =
            pixels.chunks_exact(stride).all(|pixel| pixel[..colors].iter().all(|&number| number == pixel[0]));
        let kept = if is_grey { 1 } else { colors };
        let color: Vec<u8> = pixels.chunks_exact(stride).flat_map(|pixel| &pixel[..kept]).copied().collect();
        let alpha: Vec<u8> = if has_alpha {
            pixels.iter().skip(colors).step_by(stride).copied().collect()
        } else {
            Vec::new()
        };
        let is_opaque = alpha.iter().all(|&opacity| opacity == u8::MAX);
        let color = deflate::shared(&color);
        let alpha = if is_opaque { None } else { Some(deflate::shared(&alpha)) };
        let heavy = color.len() + alpha.as_ref().map_or(0, Vec::len);
        if heavy > Self::MOST_BYTES {
            return Err(PictureError::TooHeavy { bytes: heavy });
        }
        Ok(Self {
            width,
            height,
            channels: if is_grey { 1 } else { 3 },
            color,
            alpha,
            sha256: hex::encode(Sha256::digest(bytes)),
        })
    }
}

#[cfg(test)]
mod tests {
    use std::io::Read as _;

    use flate2::read::ZlibDecoder;
    use png::{BitDepth, Encoder};

    use super::*;

    fn encoded(
        width: u32,
        height: u32,
        color: ColorType,
        depth: BitDepth,
        pixels: &[u8],
        more: impl Fn(&mut Encoder<&mut Vec<u8>>),
    ) -> Vec<u8> {
        let mut file = Vec::new();
        let mut encoder = Encoder::new(&mut file, width, height);
        encoder.set_color(color);
        encoder.set_depth(depth);
        more(&mut encoder);
        let mut writer = encoder.write_header().unwrap();
        writer.write_image_data(pixels).unwrap();
        writer.finish().unwrap();
        file
    }

    fn plain(color: ColorType, depth: BitDepth, pixels: &[u8]) -> Picture {
        Picture::png(&encoded(2, 1, color, depth, pixels, |_| {})).unwrap()
    }

    fn unpacked(stream: &[u8]) -> Vec<u8> {
        let mut bytes = Vec::new();
        ZlibDecoder::new(stream).read_to_end(&mut bytes).unwrap();
        bytes
    }

    /// Colour and opacity of a picture, and how many numbers a colour has.
    fn planes(picture: &Picture) -> (u8, Vec<u8>, Option<Vec<u8>>) {
        (picture.channels, unpacked(&picture.color), picture.alpha.as_deref().map(unpacked))
    }

    #[test]
    fn every_kind_of_png_becomes_eight_bits_a_number() {
        use BitDepth::{Eight, One, Sixteen};
        use ColorType::{Grayscale, GrayscaleAlpha, Indexed, Rgb, Rgba};
        assert_eq!(
            planes(&plain(Rgb, Eight, &[200, 30, 40, 1, 2, 3])),
            (3, vec![200, 30, 40, 1, 2, 3], None)
        );
        assert_eq!(planes(&plain(Rgb, Eight, &[7, 7, 7, 9, 9, 9])), (1, vec![7, 9], None));
        assert_eq!(
            planes(&plain(Rgba, Eight, &[200, 30, 40, 255, 1, 2, 3, 0])),
            (3, vec![200, 30, 40, 1, 2, 3], Some(vec![255, 0]))
        );
        assert_eq!(
            planes(&plain(Rgba, Eight, &[200, 30, 40, 255, 1, 2, 3, 255])),
            (3, vec![200, 30, 40, 1, 2, 3], None)
        );
        assert_eq!(
            planes(&plain(GrayscaleAlpha, Eight, &[5, 128, 6, 255])),
            (1, vec![5, 6], Some(vec![128, 255]))
        );
        assert_eq!(
            planes(&plain(Grayscale, Sixteen, &[0xAB, 0xCD, 0x12, 0x34])),
            (1, vec![0xAB, 0x12], None)
        );
        assert_eq!(planes(&plain(Grayscale, One, &[0b0100_0000])), (1, vec![0, 255], None));
        let palette = encoded(2, 1, Indexed, Eight, &[1, 0], |encoder| {
            encoder.set_palette(vec![1, 2, 3, 250, 20, 30]);
            encoder.set_trns(vec![255, 64]);
        });
        assert_eq!(
            planes(&Picture::png(&palette).unwrap()),
            (3, vec![250, 20, 30, 1, 2, 3], Some(vec![64, 255]))
        );
    }

    #[test]
    fn one_pixel_is_a_picture() {
        let picture =
            Picture::png(&encoded(1, 1, ColorType::Rgb, BitDepth::Eight, &[255, 0, 0], |_| {})).unwrap();
        assert_eq!((picture.width, picture.height), (1, 1));
        assert_eq!(picture.sha256.len(), 64);
        assert!(!format!("{picture:?}").contains("color"), "{picture:?}");
    }

    /// A PNG chunk.
    fn chunk(name: [u8; 4], data: &[u8]) -> Vec<u8> {
        let mut check = flate2::Crc::new();
        check.update(&name);
        check.update(data);
        [&u32::try_from(data.len()).unwrap().to_be_bytes()[..], &name, data, &check.sum().to_be_bytes()]
            .concat()
    }

    /// A file with the header of a picture that size, grey or with interlaced rows, and `data` for pixels.
    fn handmade(width: u32, height: u32, interlaced: bool, data: &[u8]) -> Vec<u8> {
        let header =
            [&width.to_be_bytes()[..], &height.to_be_bytes(), &[8, 0, 0, 0, u8::from(interlaced)]].concat();
        let image = deflate::shared(data);
        [
            &b"\x89PNG\r\n\x1a\n"[..],
            &chunk(*b"IHDR", &header),
            &chunk(*b"IDAT", &image),
            &chunk(*b"IEND", &[]),
        ]
        .concat()
    }

    #[test]
    fn interlaced_rows_are_put_in_order() {
        // Passes of a 2 × 2 picture: the first pixel, then its right neighbour, then the row below.
        let file = handmade(2, 2, true, &[0, 10, 0, 20, 0, 30, 40]);
        assert_eq!(planes(&Picture::png(&file).unwrap()), (1, vec![10, 20, 30, 40], None));
    }

    #[test]
    fn a_picture_that_would_swell_every_document_is_refused() {
        let mut state = 1_u32;
        let noise: Vec<u8> = std::iter::repeat_with(|| {
            state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            state.to_be_bytes()[0]
        })
        .take(300 * 300)
        .collect();
        let error = Picture::png(&encoded(300, 300, ColorType::Grayscale, BitDepth::Eight, &noise, |_| {}))
            .unwrap_err();
        assert!(matches!(error, PictureError::TooHeavy { bytes } if bytes > 80_000), "{error}");
        assert!(
            Picture::png(&encoded(
                300,
                300,
                ColorType::Grayscale,
                BitDepth::Eight,
                &vec![7; 300 * 300],
                |_| {}
            ))
            .is_ok()
        );
    }

    #[test]
    fn a_picture_too_large_is_refused_by_its_header() {
        let error = Picture::png(&handmade(20_000, 20_000, false, &[])).unwrap_err();
        assert_eq!(error.to_string(), "the picture has 20000 × 20000 pixels; at most 2000 × 2000 are taken");
        assert!(matches!(Picture::png(&handmade(1, 2001, false, &[])), Err(PictureError::TooLarge { .. })));
        assert!(matches!(Picture::png(&handmade(0, 1, false, &[])), Err(PictureError::Unreadable(_))));
    }

    #[test]
    fn what_is_broken_or_cut_short_is_refused() {
        let whole = encoded(40, 40, ColorType::Rgb, BitDepth::Eight, &[90; 4800], |_| {});
        assert!(Picture::png(&whole).is_ok());
        for length in 0..whole.len() {
            assert!(
                matches!(Picture::png(&whole[..length]), Err(PictureError::Unreadable(_))),
                "{length} bytes"
            );
        }
        for at in 0..whole.len() {
            let mut broken = whole.clone();
            broken[at] ^= 0x55;
            assert!(Picture::png(&broken).is_err(), "byte {at}");
        }
        assert!(Picture::png(b"GIF89a").is_err());
        // Fewer rows than the header says, and far more.
        assert!(Picture::png(&handmade(2, 2, false, &[0, 1, 2])).is_err());
        let bomb = handmade(2, 2, false, &vec![0; 50_000_000]);
        assert!(bomb.len() < 100_000, "{}", bomb.len());
        if let Ok(picture) = Picture::png(&bomb) {
            assert_eq!(unpacked(&picture.color).len(), 4);
        }
    }
}
