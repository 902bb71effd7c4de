//! Reproducible random choices and words for names, shared by the benchmarks.

#![allow(dead_code, reason = "not every benchmark uses all of it")]

/// Some characters need the second font.
pub(crate) const PLACES: [&str; 12] =
    ["架空", "髙﨑", "𠮷野", "信架", "東雲", "槗本", "濵田", "邊見", "花園", "葛城", "ケ峰", "Ｎ区"];

pub(crate) const OBJECTS: [&str; 8] =
    ["市道", "橋梁", "配水管", "小学校", "ポンプ場", "河川", "公園", "センター"];

pub(crate) const WORKS: [&str; 6] =
    ["改良工事", "補修工事", "更新工事", "耐震補強工事", "舗装工事（その２）", "実施設計業務委託"];

pub(crate) const FAMILIES: [&str; 8] = ["青木", "髙橋", "渡邊", "緑川", "五十嵐", "濱口", "神﨑", "東海林"];

/// splitmix64
pub(crate) struct Choices(pub(crate) u64);

impl Choices {
    /// A number below `bound`.
    pub(crate) fn below(&mut self, bound: usize) -> usize {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        usize::try_from((mixed ^ (mixed >> 31)) >> 32).unwrap() % bound
    }

    pub(crate) fn of<'a>(&mut self, words: &[&'a str]) -> &'a str {
        words[self.below(words.len())]
    }
}
