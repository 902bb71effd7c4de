//! 保証会社 and 取扱箇所: who issues.
//!
//! The surety is dated: a new president or a new version of the 約款 is a new entry with its first day, and certificates
//! drawn up before that day keep the old one (each holds its own snapshot). The files are read by `hosho::reference::surety`.

use std::collections::BTreeMap;

use chrono::NaiveDate;
use hosho_schema::snapshots;

/// The surety since a day.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SuretyEntry {
    /// The first day (発行日) it holds for.
    pub from: NaiveDate,
    /// What certificates show.
    pub surety: snapshots::Surety,
    /// The letter or digit that ends its guarantee numbers.
    pub number_suffix: char,
}

/// No entry of the surety holds for a day.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("no entry of the surety holds on {on}: the first one begins on {first}")]
pub struct NoSurety {
    /// The day asked for.
    pub on: NaiveDate,
    /// The first day of the first entry.
    pub first: NaiveDate,
}

/// The surety through time.
#[derive(Debug, Clone)]
pub struct Sureties {
    first: SuretyEntry,
    later: Vec<SuretyEntry>,
}

impl Sureties {
    /// Gathers the entries in any order; `None` without any.
    pub fn new(mut entries: Vec<SuretyEntry>) -> Option<Self> {
        entries.sort_by_key(|entry| entry.from);
        let mut entries = entries.into_iter();
        Some(Self { first: entries.next()?, later: entries.collect() })
    }

    /// The entry that holds on a day of issue: the latest that has begun.
    pub fn on(&self, day: NaiveDate) -> Result<&SuretyEntry, NoSurety> {
        let begun = self.later.iter().rev().chain([&self.first]).find(|entry| entry.from <= day);
        begun.ok_or(NoSurety { on: day, first: self.first.from })
    }

    /// Every entry, the oldest first.
    pub fn iter(&self) -> impl Iterator<Item = &SuretyEntry> {
        [&self.first].into_iter().chain(&self.later)
    }
}

/// Every branch by its code.
#[derive(Debug, Clone, Default)]
pub struct Branches {
    branches: BTreeMap<String, snapshots::Branch>,
}

impl Branches {
    /// Gathers branches; of two with the same code the later one stays.
    pub fn new(branches: impl IntoIterator<Item = snapshots::Branch>) -> Self {
        Self { branches: branches.into_iter().map(|branch| (branch.code.clone(), branch)).collect() }
    }

    /// The branch with this code.
    pub fn get(&self, code: &str) -> Option<&snapshots::Branch> {
        self.branches.get(code)
    }

    /// Every branch, by code.
    pub fn iter(&self) -> impl Iterator<Item = &snapshots::Branch> {
        self.branches.values()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn day(year: i32, month: u32, day: u32) -> NaiveDate {
        NaiveDate::from_ymd_opt(year, month, day).unwrap()
    }

    fn entry(from: NaiveDate, president: &str) -> SuretyEntry {
        let surety = snapshots::Surety {
            name: "やまなみ建設保証株式会社".to_owned(),
            address: "東京都".to_owned(),
            president: president.to_owned(),
            terms_version: "令和8年4月版".to_owned(),
            seal: None,
        };
        SuretyEntry { from, surety, number_suffix: 'M' }
    }

    #[test]
    fn the_latest_entry_that_has_begun_holds() {
        let sureties = Sureties::new(vec![
            entry(day(2026, 4, 1), "二"),
            entry(day(2020, 4, 1), "一"),
            entry(day(2027, 1, 1), "三"),
        ])
        .unwrap();
        for (on, president) in [
            (day(2020, 4, 1), "一"),
            (day(2026, 3, 31), "一"),
            (day(2026, 4, 1), "二"),
            (day(2026, 12, 31), "二"),
            (day(2027, 1, 1), "三"),
        ] {
            assert_eq!(sureties.on(on).unwrap().surety.president, president);
        }
        assert_eq!(
            sureties.on(day(2020, 3, 31)).unwrap_err(),
            NoSurety { on: day(2020, 3, 31), first: day(2020, 4, 1) }
        );
        assert_eq!(sureties.iter().count(), 3);
        assert!(Sureties::new(vec![]).is_none());
    }
}
