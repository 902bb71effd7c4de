//! Hostile seals: read, or rejected before they are decoded.

use std::sync::Arc;

use hosho_pdfa::assert_clean;

use super::{draw_with, info, is_sound};
use crate::picture::tests::handmade;
use crate::{Picture, PictureError, Pictures};

fn png(width: u32, height: u32, color: u8, data: &[u8]) -> Vec<u8> {
    handmade(width, height, color, false, data)
}

fn sealed(picture: Picture) -> Vec<u8> {
    let pictures = Pictures::from([("seal".to_owned(), Arc::new(picture))]);
    let markup = "<page margin=\"20mm\"><heading>題</heading><image name=\"seal\" alt=\"会社の印\" width=\"20mm\"/></page>";
    draw_with(markup, &pictures, &info()).unwrap()
}

#[test]
fn checks_the_size_of_seals_before_decoding() {
    for (kind, row) in [(0, &[0, 7][..]), (2, &[0, 7, 8, 9]), (4, &[0, 7, 128]), (6, &[0, 7, 8, 9, 0])] {
        let bytes = sealed(Picture::png(&png(1, 1, kind, row)).unwrap());
        assert_clean("seal of one pixel", &bytes);
        assert!(is_sound(&bytes));
    }
    let rows = vec![0; 1 << 20];
    for (width, height) in [(20_000, 20_000), (1, 2001), (2001, 1), (u32::MAX >> 1, u32::MAX >> 1)] {
        let result = Picture::png(&png(width, height, 0, &rows));
        assert!(
            matches!(result, Err(PictureError::TooLarge { .. } | PictureError::Unreadable(_))),
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
