//! Big-endian numbers at places of a table; `None` beyond its end.

/// Sixteen bits.
pub(super) fn u16_at(table: &[u8], at: usize) -> Option<u16> {
    Some(u16::from_be_bytes(*table.get(at..)?.first_chunk()?))
}

/// Twenty-four bits.
pub(super) fn u24_at(table: &[u8], at: usize) -> Option<u32> {
    let [high, middle, low] = *table.get(at..)?.first_chunk()?;
    Some(u32::from_be_bytes([0, high, middle, low]))
}

/// Thirty-two bits.
pub(super) fn u32_at(table: &[u8], at: usize) -> Option<u32> {
    Some(u32::from_be_bytes(*table.get(at..)?.first_chunk()?))
}

/// Thirty-two bits that count bytes or entries.
pub(super) fn size_at(table: &[u8], at: usize) -> Option<usize> {
    u32_at(table, at).and_then(|size| usize::try_from(size).ok())
}
