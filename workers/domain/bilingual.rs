//! Texts in Japanese, for contractors and officials, and in English, for operators.

use chrono::NaiveDate;
use hosho_schema::{
    messages::{BaseV1, MediumV1, ProductV1, WorksKindV1},
    money::{self, Ratio, Yen},
};

use crate::{labels, wareki};

pub trait BilingualText {
    fn ja(&self) -> String;
    fn en(&self) -> String;
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Bilingual {
    pub ja: String,
    pub en: String,
}

impl Bilingual {
    pub fn new(ja: impl Into<String>, en: impl Into<String>) -> Self {
        Self { ja: ja.into(), en: en.into() }
    }

    pub(crate) fn guarantee(number: &str) -> Self {
        Self::new(format!("保証契約番号{number}"), format!("guarantee {number}"))
    }
}

/// English messages are read next to the field's path and do not repeat it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FieldLabel(pub String);

impl BilingualText for FieldLabel {
    fn ja(&self) -> String {
        self.0.clone()
    }

    fn en(&self) -> String {
        "the field".to_owned()
    }
}

macro_rules! bilingual_text {
    ($($type:ty: $value:ident => $ja:expr, $en:expr;)*) => {
        $(impl BilingualText for $type {
            fn ja(&self) -> String {
                let $value = self;
                $ja.to_string()
            }

            fn en(&self) -> String {
                let $value = self;
                $en.to_string()
            }
        })*
    };
}
pub(crate) use bilingual_text;

bilingual_text! {
    String: text => text, text;
    usize: number => number, number;
    i32: number => number, number;
    i64: number => number, number;
    Bilingual: text => text.ja, text.en;
    Yen: yen => yen, format!("{} yen", money::grouped(yen.0));
    Ratio: ratio => ratio, ratio;
    NaiveDate: date => wareki::format(*date), date;
    ProductV1: product => labels::product(*product), labels::product_en(*product);
    MediumV1: medium => labels::medium_of_form(*medium), labels::medium_en(*medium);
    WorksKindV1: kind => labels::kind(*kind), labels::kind_en(*kind);
    BaseV1: base => labels::base(*base), labels::base_en(*base);
}
