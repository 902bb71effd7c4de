//! A `[[limits]]` table: amounts and ratios, each checked alone.
//! Each is kept with its place in the file.
//!
//! The tables are read as maps and not as structs with a field per key, so that one mistake does not hide the
//! next one and every problem names its key.

use std::{collections::BTreeMap, ops::Range};

use hosho_schema::money::{Ratio, Yen};
use serde::Deserialize;
use toml::{Spanned, Value, value::Datetime};

use crate::{
    domain::limits::fields::{LimitField, LimitValue},
    reference::toml_file::FileDiagnostics,
};

/// What amounts may be rounded down to, in yen.
const ROUNDING_UNITS: [i64; 8] = [1, 10, 100, 1_000, 10_000, 100_000, 1_000_000, 10_000_000];

/// Keys and values of `[limits.<name>]`.
pub(super) type Table = BTreeMap<Spanned<String>, Spanned<Value>>;

/// `[[limits]]`; `D` is what `disaster_area` is in this kind of file.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct LimitsTable<D> {
    pub(super) from: Option<Spanned<Datetime>>,
    pub(super) until: Option<Spanned<Datetime>>,
    pub(super) disaster_area: Option<D>,
    pub(super) advance_payment: Option<Spanned<Table>>,
    pub(super) interim_advance_payment: Option<Spanned<Table>>,
    pub(super) performance: Option<Spanned<Table>>,
}

#[derive(Debug, Clone)]
pub(super) struct Placed {
    pub(super) amount: LimitValue,
    /// Byte range in the file.
    pub(super) at: Range<usize>,
}

#[derive(Debug, Clone, Default)]
pub(super) struct Given(pub(super) BTreeMap<LimitField, Placed>);

impl Given {
    pub(super) fn ratio(&self, field: LimitField) -> Option<Ratio> {
        match self.0.get(&field)?.amount {
            LimitValue::Ratio(ratio) => Some(ratio),
            LimitValue::Yen(_) => None,
        }
    }

    pub(super) fn yen(&self, field: LimitField) -> Option<Yen> {
        match self.0.get(&field)?.amount {
            LimitValue::Yen(yen) => Some(yen),
            LimitValue::Ratio(_) => None,
        }
    }
}

impl<D> LimitsTable<D> {
    pub(super) fn tables(&self) -> [(&'static str, Option<&Spanned<Table>>); 3] {
        [
            ("advance_payment", self.advance_payment.as_ref()),
            ("interim_advance_payment", self.interim_advance_payment.as_ref()),
            ("performance", self.performance.as_ref()),
        ]
    }

    pub(super) fn given(&self, page: &mut FileDiagnostics<'_>) -> Given {
        let mut given = Given::default();
        for (name, table) in self.tables() {
            if let Some(table) = table {
                read(page, name, table.get_ref(), |key| LimitField::find(name, key), &mut given);
            }
        }
        given
    }
}

pub(super) fn disaster_area(page: &mut FileDiagnostics<'_>, table: &Table) -> Given {
    let mut given = Given::default();
    let known = |key: &str| LimitField::find("advance_payment", key).filter(|field| field.is_by_kind());
    read(page, "disaster_area", table, known, &mut given);
    given
}

fn read(
    page: &mut FileDiagnostics<'_>,
    name: &str,
    table: &Table,
    known: impl Fn(&str) -> Option<LimitField>,
    given: &mut Given,
) {
    for (key, value) in table {
        match known(key.get_ref()) {
            None => {
                let keys = LimitField::ALL.into_iter().filter(|field| known(field.name().1) == Some(*field));
                let keys = keys.map(|field| field.name().1).collect::<Vec<_>>().join(", ");
                page.problem(key.span(), format!("{name}.{} is unknown: {keys} are known", key.get_ref()));
            }
            Some(field) => {
                let named = format!("{name}.{}", key.get_ref());
                match amount(field, value.get_ref()) {
                    Ok(amount) => _ = given.0.insert(field, Placed { amount, at: value.span() }),
                    Err(wanted) => {
                        page.problem(
                            value.span(),
                            format!("{named} is {}: {wanted}", shown(value.get_ref())),
                        );
                    }
                }
            }
        }
    }
}

/// The value of a field, or what it would have to be.
fn amount(field: LimitField, value: &Value) -> Result<LimitValue, &'static str> {
    if field.is_ratio() {
        let ratio: Ratio = value
            .as_str()
            .and_then(|text| text.parse().ok())
            .ok_or("a ratio is written \"40%\", \"12.5%\" or \"1/3\"")?;
        return if ratio.terms().0 > 0 && ratio <= Ratio::WHOLE {
            Ok(LimitValue::Ratio(ratio))
        } else {
            Err("a ratio is more than 0% and at most 100%")
        };
    }
    let yen = value.as_integer().ok_or("whole yen are written 10_000")?;
    if field.is_rounding_unit() {
        return if ROUNDING_UNITS.contains(&yen) {
            Ok(LimitValue::Yen(Yen(yen)))
        } else {
            Err("a rounding unit is 1, 10, 100 and so on up to 10_000_000")
        };
    }
    if yen > 0 {
        Ok(LimitValue::Yen(Yen(yen)))
    } else {
        Err("it is more than 0; leave it out where there is no such bound")
    }
}

fn shown(value: &Value) -> String {
    match value {
        Value::String(text) => format!("{text:?}"),
        Value::Integer(_) | Value::Float(_) | Value::Boolean(_) | Value::Datetime(_) => value.to_string(),
        Value::Array(_) => "a list".to_owned(),
        Value::Table(_) => "a table".to_owned(),
    }
}
