//! Whole yen.

use std::fmt;

use serde::{Deserialize, Serialize};

/// An amount in whole yen, tax included.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Yen(pub i64);

/// Writes the amount as on a form: `12,345,000円`.
impl fmt::Display for Yen {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let digits = self.0.unsigned_abs().to_string();
        let mut text = String::with_capacity(digits.len() * 4 / 3 + 4);
        if self.0 < 0 {
            text.push('-');
        }
        for (index, digit) in digits.chars().enumerate() {
            if index > 0 && (digits.len() - index).is_multiple_of(3) {
                text.push(',');
            }
            text.push(digit);
        }
        text.push('円');
        f.pad(&text)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn yen_is_written_with_separators() {
        for (yen, text) in [(0, "0円"), (999, "999円"), (1_000, "1,000円"), (12_345_000, "12,345,000円"), (-1_234, "-1,234円")] {
            assert_eq!(Yen(yen).to_string(), text);
        }
        assert_eq!(Yen(i64::MIN).to_string(), "-9,223,372,036,854,775,808円");
    }
}
