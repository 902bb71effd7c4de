//! The colour space of all documents: sRGB, as the ICC profile that PDF/A requires.
//!
//! It is built here because it is 400 bytes of published numbers (IEC 61966-2-1, adapted to D50 as ICC.1:2004
//! requires). Rejected: DeviceGray or CalGray as default (poppler paints CalGray pink), printpdf's own
//! profile (540 KB, for CMYK presses).

use std::sync::OnceLock;

use crate::deflate;

pub(crate) const NAME: &str = "sRGB IEC61966-2.1";

/// The profile as a zlib stream, computed once.
pub(crate) fn compressed() -> &'static [u8] {
    static PROFILE: OnceLock<Vec<u8>> = OnceLock::new();
    PROFILE.get_or_init(|| deflate::small(&profile()))
}

/// White point of the connection space (D50), in 1/65536.
const D50: [u32; 3] = [0xF6D6, 0x1_0000, 0xD32D];

/// The primaries, adapted to D50, in 1/65536.
const RED: [u32; 3] = [0x6FA2, 0x38F5, 0x0390];
const GREEN: [u32; 3] = [0x6299, 0xB785, 0x18DA];
const BLUE: [u32; 3] = [0x24A0, 0x0F84, 0xB6CF];

/// From D65, the white of sRGB, to D50 (Bradford), in 1/65536, two's complement.
const ADAPTATION: [u32; 9] =
    [0x1_0C42, 0x05DE, 0xFFFF_F326, 0x0793, 0xFD90, 0xFFFF_FBA2, 0xFFFF_FDA3, 0x03DC, 0xC06E];

/// (a x + b)^g from d on, c x below it: g, a, b, c, d, in 1/65536.
const CURVE: [u32; 5] = [0x2_6666, 0xF2A7, 0x0D59, 0x13D0, 0x0A5B];

fn profile() -> Vec<u8> {
    let xyz = |values: &[u32]| tagged(*b"XYZ ", &[], values);
    let text = |text: &str| {
        let units: Vec<u8> = text.encode_utf16().flat_map(u16::to_be_bytes).collect();
        let length = u32::try_from(units.len()).unwrap_or(0);
        let mut data = tagged(*b"mluc", &[], &[1, 12, 0x656E_5553, length, 28]);
        data.extend_from_slice(&units);
        data
    };
    let curve = tagged(*b"para", &[0, 3, 0, 0], &CURVE);
    let tags: [(&[u8; 4], Vec<u8>); 8] = [
        (b"desc", text(NAME)),
        (b"cprt", text("none")),
        (b"wtpt", xyz(&D50)),
        (b"chad", tagged(*b"sf32", &[], &ADAPTATION)),
        (b"rXYZ", xyz(&RED)),
        (b"gXYZ", xyz(&GREEN)),
        (b"bXYZ", xyz(&BLUE)),
        (b"rTRC", curve),
    ];
    let count = tags.len() + 2; // the three curves share one entry of data
    let mut data = Vec::new();
    let mut table = u32::try_from(count).unwrap_or(0).to_be_bytes().to_vec();
    let start = 128 + 4 + 12 * count;
    for (tag, content) in &tags {
        let place = [start + data.len(), content.len()]
            .map(|value| u32::try_from(value).unwrap_or(0).to_be_bytes())
            .concat();
        let names: &[&[u8; 4]] = if *tag == b"rTRC" { &[b"rTRC", b"gTRC", b"bTRC"] } else { &[tag] };
        for name in names {
            table.extend_from_slice(*name);
            table.extend_from_slice(&place);
        }
        data.extend_from_slice(content);
        data.resize(data.len().next_multiple_of(4), 0);
    }
    let mut profile = vec![0; 128];
    let mut put = |at: usize, bytes: &[u8]| profile[at..at + bytes.len()].copy_from_slice(bytes);
    put(0, &u32::try_from(start + data.len()).unwrap_or(0).to_be_bytes());
    put(8, &[4, 0x20, 0, 0]); // version 4.2
    put(12, b"mntrRGB XYZ ");
    put(24, &[0x07, 0xD0, 0, 1, 0, 1, 0, 0, 0, 0, 0, 0]); // 2000-01-01
    put(36, b"acsp");
    for (at, value) in (68..).step_by(4).zip(D50) {
        put(at, &value.to_be_bytes());
    }
    profile.extend_from_slice(&table);
    profile.extend_from_slice(&data);
    profile
}

/// The data of a tag: its type, four reserved bytes, `before`, and the values.
fn tagged(kind: [u8; 4], before: &[u8], values: &[u32]) -> Vec<u8> {
    let mut data = [kind.as_slice(), &[0; 4], before].concat();
    data.extend(values.iter().flat_map(|value| value.to_be_bytes()));
    data
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn profile_has_consistent_length_and_offsets() {
        let profile = profile();
        let word = |at: usize| u32::from_be_bytes(profile[at..at + 4].try_into().unwrap()) as usize;
        assert_eq!(word(0), profile.len());
        assert_eq!(&profile[36..40], b"acsp");
        assert_eq!(word(128), 10);
        for tag in 0..10 {
            let (at, length) = (word(132 + 12 * tag + 4), word(132 + 12 * tag + 8));
            assert!(at % 4 == 0 && at >= 252 && at + length <= profile.len(), "tag {tag}: {at} {length}");
        }
        // The primaries add up to the white point.
        for (at, white) in D50.into_iter().enumerate() {
            assert!((RED[at] + GREEN[at] + BLUE[at]).abs_diff(white) <= 16);
        }
    }
}
