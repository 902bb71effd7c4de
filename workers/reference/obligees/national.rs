//! `config/national.toml`, built in or beside the folder of the obligees.

use std::{collections::BTreeMap, fs, io, ops::Range, path::Path};

use serde::Deserialize;
use toml::Spanned;

use super::{
    contradictions,
    periods::{self, Period},
    table::{self, Given, LimitsTable, Table},
};
use crate::{
    domain::limits::{
        AdvanceLimits, InterimLimits, KindRatios, Limits, PerformanceLimits, Timeline, fields::LimitField,
    },
    reference::toml_file::{self, FileDiagnostics, RegistryError, Source},
};

const NATIONAL: &str = include_str!("../../../config/national.toml");

/// `config/national.toml`.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct File {
    limits: Spanned<Vec<Spanned<LimitsTable<Spanned<Table>>>>>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct National {
    pub(super) limits: Limits,
    pub(super) disaster_area: KindRatios,
}

/// `national.toml` of an operator's folder.
/// The one built in without a folder, or where the folder has none.
pub(super) fn source(folder: Option<&Path>) -> Result<Source, RegistryError> {
    let built_in = || Source::new("config/national.toml".to_owned(), NATIONAL.to_owned());
    let Some(file) = folder.map(|folder| folder.join("national.toml")) else { return Ok(built_in()) };
    // A link that leads nowhere is a mistake, and not an absent file.
    match fs::symlink_metadata(&file) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(built_in()),
        _ => toml_file::read_file(&file),
    }
}

/// Reads the national limits of all periods.
/// Use them only when no problem was reported.
pub(super) fn read(page: &mut FileDiagnostics<'_>) -> Option<Timeline<National>> {
    let file: File = page.parse()?;
    let tables = file.limits.get_ref();
    if tables.is_empty() {
        page.problem(file.limits.span(), "limits is empty: one [[limits]] is needed");
    }
    let periods: Vec<_> = tables
        .iter()
        .map(|table| {
            let value = whole(page, table);
            Period::read(page, table.get_ref(), table.span(), value)
        })
        .collect();
    let mut periods: Vec<_> = periods.into_iter().collect::<Option<_>>()?;
    if !periods::in_order(page, &mut periods, "the national limits know no gap") {
        return None;
    }
    if let Some(first) = periods.first().filter(|first| first.from.is_some()) {
        page.problem(first.at.clone(), "the first national [[limits]] has no from: it holds since ever");
    }
    if let Some(last) = periods.last().filter(|last| last.until.is_some()) {
        page.problem(
            last.at.clone(),
            "the last national [[limits]] has no until: it holds until there is another one",
        );
    }
    let mut values = periods.into_iter().map(|period| Some((period.from, period.value?)));
    let (_, first) = values.next()??;
    let later: BTreeMap<_, _> =
        values.map(|value| value.and_then(|(from, value)| Some((from?, value)))).collect::<Option<_>>()?;
    Some(Timeline::changing(first, later))
}

/// Limits of one period, every field given.
fn whole(page: &mut FileDiagnostics<'_>, table: &Spanned<LimitsTable<Spanned<Table>>>) -> Option<National> {
    let tables = table.get_ref();
    let given = tables.given(page);
    for field in LimitField::ALL.into_iter().filter(|field| !field.is_optional()) {
        let (name, key) = field.name();
        let found =
            tables.tables().into_iter().find(|(known, _)| *known == name).and_then(|(_, table)| table);
        missing(page, found, table.span(), name, key);
    }
    let disaster = tables
        .disaster_area
        .as_ref()
        .map(|table| table::disaster_area(page, table.get_ref()))
        .unwrap_or_default();
    for field in LimitField::ALL.into_iter().filter(|field| field.is_by_kind()) {
        missing(page, tables.disaster_area.as_ref(), table.span(), "disaster_area", field.name().1);
    }
    let limits = limits(&given)?;
    let disaster_area = kinds(&disaster)?;
    contradictions::report(page, &limits, &given, "");
    // Once more with the ratios of disaster areas, which are held to the rest of the period.
    let mut raised = limits.clone();
    raised.advance.ratios = disaster_area;
    contradictions::report(page, &raised, &disaster, "");
    Some(National { limits, disaster_area })
}

fn missing(
    page: &mut FileDiagnostics<'_>,
    table: Option<&Spanned<Table>>,
    period: Range<usize>,
    name: &str,
    key: &str,
) {
    if !table.is_some_and(|table| table.get_ref().contains_key(key)) {
        let at = table.map_or(period, Spanned::span);
        page.problem(at, format!("{name}.{key} is missing: national limits are whole"));
    }
}

fn limits(given: &Given) -> Option<Limits> {
    Some(Limits {
        advance: AdvanceLimits {
            ratios: kinds(given)?,
            low_price: given.ratio(LimitField::AdvanceLowPrice)?,
            rounding_unit: given.yen(LimitField::AdvanceRoundingUnit)?,
            minimum_contract_price: given.yen(LimitField::AdvanceMinimumContractPrice),
            maximum: given.yen(LimitField::AdvanceMaximum),
        },
        interim: InterimLimits {
            ratio: given.ratio(LimitField::InterimRatio)?,
            low_price_ratio: given.ratio(LimitField::InterimLowPriceRatio)?,
            total: given.ratio(LimitField::InterimTotal)?,
            low_price_total: given.ratio(LimitField::InterimLowPriceTotal)?,
            rounding_unit: given.yen(LimitField::InterimRoundingUnit)?,
            maximum: given.yen(LimitField::InterimMaximum),
        },
        performance: PerformanceLimits {
            minimum: given.ratio(LimitField::PerformanceMinimum)?,
            low_price_minimum: given.ratio(LimitField::PerformanceLowPriceMinimum)?,
        },
    })
}

fn kinds(given: &Given) -> Option<KindRatios> {
    Some(KindRatios {
        construction: given.ratio(LimitField::AdvanceConstruction)?,
        design: given.ratio(LimitField::AdvanceDesign)?,
        surveying: given.ratio(LimitField::AdvanceSurveying)?,
        machinery: given.ratio(LimitField::AdvanceMachinery)?,
    })
}
