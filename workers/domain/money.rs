//! Whole yen and exact ratios: the types live beside the messages that carry them ([`hosho_schema::money`]).

pub use hosho_schema::money::{Ratio, RatioError, Share, Yen};
