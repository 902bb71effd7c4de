//! Finds installed fonts by name.
//!
//! Of each file only the table directory, the names and a word of OS/2 are read, a few kilobytes: some
//! hundred fonts take milliseconds. Rejected: fontdb, which maps whole files into memory, trusts the number
//! of faces that a file claims, and brings three crates for what this file does.

use std::fs::File;
use std::os::unix::fs::FileExt as _;
use std::path::{Path, PathBuf};

use ttf_parser::{Tag, name, name_id, os2};

use super::error::FontError;
use super::file::FontFile;
use super::folders::{is_font, walk};

/// Most faces per file, tables per face and bytes per table that are read.
const MAX_FACES: u32 = 256;
const MAX_TABLES: usize = 256;
const MAX_BYTES: usize = 1 << 20;

const MAX_SIMILAR: usize = 5;

pub(super) struct InstalledFonts {
    faces: Vec<InstalledFace>,
}

struct InstalledFace {
    file: FontFile,
    post_script_name: String,
    /// Names of the family in any language.
    families: Vec<String>,
    /// Distance from an upright face of normal width and regular weight.
    distance: (bool, u16, u16),
}

impl InstalledFonts {
    /// Files that are not fonts are skipped.
    pub(super) fn scan(folders: &[PathBuf]) -> Self {
        let mut faces = Vec::new();
        for folder in folders {
            walk(folder, &mut |path| {
                if is_font(path) {
                    read(path, &mut faces);
                }
                true
            });
        }
        Self { faces }
    }

    /// The face of a PostScript name, or else the most regular face of a family.
    pub(super) fn find(&self, name: &str) -> Result<FontFile, FontError> {
        let is_name = |other: &String| other.to_lowercase() == name.to_lowercase();
        let face = || self.faces.iter().find(|face| is_name(&face.post_script_name));
        let family = || {
            self.faces
                .iter()
                .filter(|face| face.families.iter().any(is_name))
                .min_by_key(|face| face.distance)
        };
        match face().or_else(family) {
            Some(face) => Ok(face.file.clone()),
            None => Err(FontError::NoSuchName { name: name.to_owned(), similar: self.similar(name) }),
        }
    }

    fn similar(&self, name: &str) -> Vec<String> {
        let plain = |name: &str| {
            name.chars().filter(|c| c.is_alphanumeric()).flat_map(char::to_lowercase).collect::<String>()
        };
        let wanted = plain(name);
        if wanted.is_empty() {
            return Vec::new();
        }
        let names = self.faces.iter().flat_map(|face| face.families.iter().chain([&face.post_script_name]));
        let score =
            |other: &str| if other.contains(&wanted) { 1.0 } else { strsim::jaro_winkler(other, &wanted) };
        let mut scored: Vec<(f64, &String)> =
            names.map(|name| (score(&plain(name)), name)).filter(|(score, _)| *score > 0.8).collect();
        scored.sort_by(|one, other| other.0.total_cmp(&one.0).then_with(|| one.1.cmp(other.1)));
        scored.dedup_by(|one, other| one.1 == other.1);
        scored.into_iter().take(MAX_SIMILAR).map(|(_, name)| name.clone()).collect()
    }
}

/// Adds the faces of a file, as many as can be read.
fn read(path: &Path, faces: &mut Vec<InstalledFace>) {
    let Ok(file) = File::open(path) else { return };
    let Some(start) = bytes_at(&file, 0, 12) else { return };
    let is_collection = start.starts_with(b"ttcf");
    let count = if is_collection { u32_in(&start, 8).min(MAX_FACES) } else { 1 };
    for face in 0..count {
        let listed =
            || bytes_at(&file, 12 + 4 * u64::from(face), 4).map(|offset| u64::from(u32_in(&offset, 0)));
        let offset = if is_collection { listed() } else { Some(0) };
        let file = offset.and_then(|offset| {
            read_face(&file, offset, FontFile { path: path.to_owned(), face: is_collection.then_some(face) })
        });
        faces.extend(file);
    }
}

fn read_face(file: &File, offset: u64, place: FontFile) -> Option<InstalledFace> {
    let count =
        usize::from(u16::from_be_bytes(*bytes_at(file, offset + 4, 2)?.first_chunk()?)).min(MAX_TABLES);
    let directory = bytes_at(file, offset + 12, 16 * count)?;
    let table = |tag: &[u8; 4]| {
        let entry = directory.as_chunks::<16>().0.iter().find(|entry| entry.starts_with(tag))?;
        let length = usize::try_from(u32_in(entry, 12)).ok().filter(|length| *length <= MAX_BYTES)?;
        bytes_at(file, u64::from(u32_in(entry, 8)), length)
    };
    let names = table(b"name")?;
    let names = name::Table::parse(&names)?.names;
    let all = |id| {
        let of_id = names.into_iter().filter(move |name| name.name_id == id && name.is_unicode());
        of_id.filter_map(|name| name.to_string()).collect::<Vec<_>>()
    };
    let mut families = all(name_id::TYPOGRAPHIC_FAMILY);
    if families.is_empty() {
        families = all(name_id::FAMILY);
    }
    let os2 = table(&Tag::from_bytes(b"OS/2").to_bytes()).unwrap_or_default();
    let distance = os2::Table::parse(&os2).map_or((true, u16::MAX, u16::MAX), |os2| {
        let slanted = os2.style() != ttf_parser::Style::Normal;
        (slanted, os2.width().to_number().abs_diff(5), os2.weight().to_number().abs_diff(400))
    });
    let post_script_name = all(name_id::POST_SCRIPT_NAME).into_iter().next()?;
    Some(InstalledFace { file: place, post_script_name, families, distance })
}

fn bytes_at(file: &File, from: u64, length: usize) -> Option<Vec<u8>> {
    let mut bytes = vec![0; length];
    file.read_exact_at(&mut bytes, from).ok()?;
    Some(bytes)
}

fn u32_in(bytes: &[u8], at: usize) -> u32 {
    bytes.get(at..).and_then(|rest| rest.first_chunk()).map_or(0, |number| u32::from_be_bytes(*number))
}
