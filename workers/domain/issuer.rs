//! The issuer: the surety (保証会社) and its branches (取扱箇所).
//!
//! Surety entries are dated. A new president or a new version of the 約款 is a new entry with its first day.
//! Certificates issued before that day keep the old entry, because each holds its own snapshot.
//! `hosho::reference::surety` reads the files.

use std::collections::BTreeMap;

use chrono::NaiveDate;
use hosho_schema::snapshots;

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SuretyEntry {
    /// The first day of issue (発行日) that the entry is for.
    pub from: NaiveDate,
    pub surety: snapshots::Surety,
    /// Last character of the guarantee numbers.
    pub number_suffix: char,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("no entry of the surety holds on {on}: the first one begins on {first}")]
pub struct NoSurety {
    pub on: NaiveDate,
    pub first: NaiveDate,
}

/// All entries of the surety, at least one.
#[derive(Debug, Clone)]
pub struct Sureties {
    first: SuretyEntry,
    later: Vec<SuretyEntry>,
}

impl Sureties {
    /// Takes the entries in any order; returns `None` for an empty list.
    pub fn new(mut entries: Vec<SuretyEntry>) -> Option<Self> {
        entries.sort_by_key(|entry| entry.from);
        let mut entries = entries.into_iter();
        Some(Self { first: entries.next()?, later: entries.collect() })
    }

    /// Returns the entry for a day of issue: the latest that has begun.
    pub fn on(&self, day: NaiveDate) -> Result<&SuretyEntry, NoSurety> {
        let begun = self.later.iter().rev().chain([&self.first]).find(|entry| entry.from <= day);
        begun.ok_or(NoSurety { on: day, first: self.first.from })
    }

    /// Iterates from the oldest entry.
    pub fn iter(&self) -> impl Iterator<Item = &SuretyEntry> {
        [&self.first].into_iter().chain(&self.later)
    }
}

#[derive(Debug, Clone, Default)]
pub struct Branches {
    branches: BTreeMap<String, snapshots::Branch>,
}

impl Branches {
    /// Of two branches with the same code, the later one replaces the earlier one.
    pub fn new(branches: impl IntoIterator<Item = snapshots::Branch>) -> Self {
        Self { branches: branches.into_iter().map(|branch| (branch.code.clone(), branch)).collect() }
    }

    pub fn get(&self, code: &str) -> Option<&snapshots::Branch> {
        self.branches.get(code)
    }

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
    fn returns_the_latest_entry_that_has_begun() {
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
