//! Seals that somebody sends on purpose: read, or refused before they are unpacked.

use std::sync::Arc;

use hosho_pdfa::assert_clean;

use super::{info, is_sound};
use crate::{Materials, Picture, PictureError, Pictures, Stock, deflate, draw, test_fonts};

/// A PNG of grey pixels; `rows` are as many as it has, whatever the header says.
fn png(width: u32, height: u32, kind: u8, rows: &[u8]) -> Vec<u8> {
    let mut file = b"\x89PNG\r\n\x1a\n".to_vec();
    let header = [&width.to_be_bytes()[..], &height.to_be_bytes(), &[8, kind, 0, 0, 0]].concat();
    for (name, content) in [(b"IHDR", header), (b"IDAT", deflate::own(rows)), (b"IEND", Vec::new())] {
        let chunk = [&name[..], &content].concat();
        let mut crc = flate2::Crc::new();
        crc.update(&chunk);
        file.extend(u32::try_from(content.len()).unwrap().to_be_bytes());
        file.extend(chunk);
        file.extend(crc.sum().to_be_bytes());
    }
    file
}

fn sealed(picture: Picture) -> Vec<u8> {
    let pictures = Pictures::from([("seal".to_owned(), Arc::new(picture))]);
    let markup = "<page margin=\"20mm\"><heading>題</heading><image name=\"seal\" alt=\"会社の印\" width=\"20mm\"/></page>";
    draw(markup, Materials { fonts: test_fonts(), pictures: &pictures, stock: &Stock::default() }, &info())
        .unwrap()
}

#[test]
fn a_seal_of_one_pixel_is_drawn_and_one_of_four_hundred_million_is_refused_unread() {
    for (kind, row) in [(0, &[0, 7][..]), (2, &[0, 7, 8, 9]), (4, &[0, 7, 128]), (6, &[0, 7, 8, 9, 0])] {
        let bytes = sealed(Picture::png(&png(1, 1, kind, row)).unwrap());
        assert_clean("seal of one pixel", &bytes);
        assert!(is_sound(&bytes));
    }
    let rows = vec![0; 1 << 20];
    for (width, height) in [(20_000, 20_000), (1, 2001), (2001, 1), (u32::MAX >> 1, u32::MAX >> 1)] {
        let refused = Picture::png(&png(width, height, 0, &rows));
        assert!(
            matches!(refused, Err(PictureError::TooLarge { .. } | PictureError::Unreadable(_))),
            "{width} × {height}"
        );
    }
    let whole = png(1, 1, 0, &[0, 7]);
    for broken in [
        &whole[..20],
        &whole[..whole.len() - 13],
        b"<svg/>",
        &png(0, 0, 0, &[]),
        &png(9, 9, 0, &[0; 3]),
        &png(1, 1, 9, &[0, 7]),
    ] {
        assert!(matches!(Picture::png(broken), Err(PictureError::Unreadable(_))));
    }
}
