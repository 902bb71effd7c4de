//! How a figure, a day or a word of the business is said inside a message, in each language.

use chrono::NaiveDate;
use hosho_schema::{
    messages::{BaseV1, MediumV1, ProductV1, WorksKindV1},
    money::{self, Ratio, Yen},
};

use super::super::{obligee::Basis, wareki, wording};

/// Can stand in a message.
pub trait Told {
    /// In Japanese, for contractors and officials.
    fn ja(&self) -> String;
    /// In English, for operators.
    fn en(&self) -> String;
}

/// The label of a field on the form: said in Japanese; in English the path says it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Label(pub String);

/// Two texts that say the same.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Both {
    /// In Japanese.
    pub ja: String,
    /// In English.
    pub en: String,
}

macro_rules! told {
    ($($type:ty: $value:ident => $ja:expr, $en:expr;)*) => {
        $(impl Told for $type {
            fn ja(&self) -> String {
                let $value = self;
                $ja
            }

            fn en(&self) -> String {
                let $value = self;
                $en
            }
        })*
    };
}

impl Told for Label {
    fn ja(&self) -> String {
        self.0.clone()
    }

    fn en(&self) -> String {
        "the field".to_owned()
    }
}

told! {
    String: text => text.clone(), text.clone();
    usize: number => number.to_string(), number.to_string();
    i32: number => number.to_string(), number.to_string();
    i64: number => number.to_string(), number.to_string();
    Both: both => both.ja.clone(), both.en.clone();
    Yen: yen => yen.to_string(), format!("{} yen", money::grouped(yen.0));
    Ratio: ratio => ratio.to_string(), ratio.to_string();
    NaiveDate: date => wareki::format(*date), date.to_string();
    ProductV1: product => wording::product(*product).to_owned(), wording::product_en(*product).to_owned();
    MediumV1: medium => wording::medium_of_form(*medium).to_owned(), wording::medium_en(*medium).to_owned();
    WorksKindV1: kind => wording::kind(*kind).to_owned(), wording::kind_en(*kind).to_owned();
    BaseV1: base => wording::base(*base).to_owned(), wording::base_en(*base).to_owned();
    Basis: basis => Basis::ja(*basis).to_owned(), Basis::en(*basis).to_owned();
}
