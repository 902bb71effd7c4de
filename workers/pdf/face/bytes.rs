//! Big-endian numbers in a table; `None` beyond its end.

pub(super) fn u16_at(table: &[u8], at: usize) -> Option<u16> {
    Some(u16::from_be_bytes(*table.get(at..)?.first_chunk()?))
}

pub(super) fn u24_at(table: &[u8], at: usize) -> Option<u32> {
    let [high, middle, low] = *table.get(at..)?.first_chunk()?;
    Some(u32::from_be_bytes([0, high, middle, low]))
}

pub(super) fn u32_at(table: &[u8], at: usize) -> Option<u32> {
    Some(u32::from_be_bytes(*table.get(at..)?.first_chunk()?))
}

/// A 32-bit number that counts bytes or entries.
pub(super) fn size_at(table: &[u8], at: usize) -> Option<usize> {
    u32_at(table, at).and_then(|size| usize::try_from(size).ok())
}
