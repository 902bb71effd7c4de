//! Reads pictures: the seal of the surety, a PNG.
//!
//! A picture is read once per process and kept as every document stores it: compressed planes of colour and
//! opacity. The header is checked before any pixel is decoded, so a small file that expands to gigabytes
//! costs nothing. Profiles, dates and texts of the file are dropped: the document has one output intent, and
//! the seal's history is private.
//!
//! Rejected: passing the compressed rows of the PNG on to the PDF. It saves decoding, but not for pictures
//! with transparency, a palette or interlacing, so seals would need a second code path.

use std::collections::HashMap;
use std::fmt;
use std::io::Cursor;
use std::sync::Arc;

use png::{ColorType, Decoder, Limits, Transformations};
use sha2::{Digest, Sha256};

use crate::deflate;

#[derive(Debug, thiserror::Error)]
pub enum PictureError {
    #[error("cannot read the picture as a PNG file: {0}")]
    Unreadable(String),
    #[error(
        "the picture adds {bytes} bytes to every document; the limit is {limit}: use fewer pixels or fewer shades",
        limit = Picture::MAX_BYTES
    )]
    TooHeavy {
        /// Compressed size.
        bytes: usize,
    },
    #[error(
        "the picture has {width} × {height} pixels; the limit is {limit} × {limit}",
        limit = Picture::MAX_EDGE
    )]
    TooLarge { width: u32, height: u32 },
}

#[derive(PartialEq, Eq)]
pub struct Picture {
    pub(crate) width: u32,
    pub(crate) height: u32,
    /// Values per pixel in `color`: 1 (grey) or 3 (red, green, blue).
    pub(crate) channels: u8,
    /// Eight bits per value, rows from the top, as a zlib stream.
    pub(crate) color: Vec<u8>,
    /// Eight bits per pixel, as a zlib stream; `None` if all pixels are opaque.
    pub(crate) alpha: Option<Vec<u8>>,
    /// SHA-256 of the PNG file, lower-case hexadecimal.
    pub(crate) sha256: String,
}

/// Pictures by the name that markup uses.
pub type Pictures = HashMap<String, Arc<Picture>>;

/// Without the pixels.
impl fmt::Debug for Picture {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Picture")
            .field("size", &(self.width, self.height))
            .field("sha256", &self.sha256)
            .finish_non_exhaustive()
    }
}

impl Picture {
    /// Largest width and height, in pixels.
    pub const MAX_EDGE: u32 = 2000;

    pub const MAX_BYTES: usize = 64 * 1024;

    /// Width and height in pixels.
    pub fn size(&self) -> (u32, u32) {
        (self.width, self.height)
    }

    /// Reads a PNG file of any colour type.
    pub fn png(bytes: &[u8]) -> Result<Self, PictureError> {
        let unreadable = |error: png::DecodingError| PictureError::Unreadable(error.to_string());
        // Four bytes per pixel of the largest picture, and space for a row being decoded.
        let edge = Self::MAX_EDGE as usize;
        let mut decoder =
            Decoder::new_with_limits(Cursor::new(bytes), Limits { bytes: edge * (edge + 64) * 8 });
        decoder.set_ignore_text_chunk(true);
        decoder.set_ignore_iccp_chunk(true);
        decoder.set_transformations(Transformations::normalize_to_color8());
        let header = decoder.read_header_info().map_err(unreadable)?;
        let (width, height) = (header.width, header.height);
        if width > Self::MAX_EDGE || height > Self::MAX_EDGE {
            return Err(PictureError::TooLarge { width, height });
        }
        let mut reader = decoder.read_info().map_err(unreadable)?;
        let size = reader.output_buffer_size().ok_or(PictureError::TooLarge { width, height })?;
        let mut pixels = vec![0; size];
        let frame = reader.next_frame(&mut pixels).map_err(unreadable)?;
        // The rest of the file must be intact too: a truncated file is not the seal that was approved.
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
        let color = deflate::small(&color);
        let alpha = if is_opaque { None } else { Some(deflate::small(&alpha)) };
        let heavy = color.len() + alpha.as_ref().map_or(0, Vec::len);
        if heavy > Self::MAX_BYTES {
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
pub(crate) mod tests {
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

    /// Channels, colour and opacity of a picture.
    fn planes(picture: &Picture) -> (u8, Vec<u8>, Option<Vec<u8>>) {
        (picture.channels, unpacked(&picture.color), picture.alpha.as_deref().map(unpacked))
    }

    #[test]
    fn converts_every_color_type_to_eight_bits() {
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
    fn accepts_a_single_pixel() {
        let picture =
            Picture::png(&encoded(1, 1, ColorType::Rgb, BitDepth::Eight, &[255, 0, 0], |_| {})).unwrap();
        assert_eq!((picture.width, picture.height), (1, 1));
        assert_eq!(picture.sha256.len(), 64);
        assert!(!format!("{picture:?}").contains("color"), "{picture:?}");
    }

    fn chunk(name: [u8; 4], data: &[u8]) -> Vec<u8> {
        let mut check = flate2::Crc::new();
        check.update(&name);
        check.update(data);
        [&u32::try_from(data.len()).unwrap().to_be_bytes()[..], &name, data, &check.sum().to_be_bytes()]
            .concat()
    }

    /// A PNG of eight bits per value. The data may contradict the header.
    pub(crate) fn handmade(width: u32, height: u32, color: u8, interlaced: bool, data: &[u8]) -> Vec<u8> {
        let header =
            [&width.to_be_bytes()[..], &height.to_be_bytes(), &[8, color, 0, 0, u8::from(interlaced)]]
                .concat();
        let image = deflate::small(data);
        [
            &b"\x89PNG\r\n\x1a\n"[..],
            &chunk(*b"IHDR", &header),
            &chunk(*b"IDAT", &image),
            &chunk(*b"IEND", &[]),
        ]
        .concat()
    }

    #[test]
    fn reorders_interlaced_rows() {
        // The passes of a 2 × 2 picture: first pixel, its right neighbour, the row below.
        let file = handmade(2, 2, 0, true, &[0, 10, 0, 20, 0, 30, 40]);
        assert_eq!(planes(&Picture::png(&file).unwrap()), (1, vec![10, 20, 30, 40], None));
    }

    #[test]
    fn rejects_a_picture_that_compresses_badly() {
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
    fn rejects_a_large_picture_by_its_header() {
        let error = Picture::png(&handmade(20_000, 20_000, 0, false, &[])).unwrap_err();
        assert_eq!(error.to_string(), "the picture has 20000 × 20000 pixels; the limit is 2000 × 2000");
        assert!(matches!(
            Picture::png(&handmade(1, 2001, 0, false, &[])),
            Err(PictureError::TooLarge { .. })
        ));
        assert!(matches!(Picture::png(&handmade(0, 1, 0, false, &[])), Err(PictureError::Unreadable(_))));
    }

    #[test]
    fn rejects_broken_and_truncated_files() {
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
        // Fewer rows than the header states, and far more.
        assert!(Picture::png(&handmade(2, 2, 0, false, &[0, 1, 2])).is_err());
        let bomb = handmade(2, 2, 0, false, &vec![0; 50_000_000]);
        assert!(bomb.len() < 100_000, "{}", bomb.len());
        if let Ok(picture) = Picture::png(&bomb) {
            assert_eq!(unpacked(&picture.color).len(), 4);
        }
    }
}
