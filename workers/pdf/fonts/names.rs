//! The fonts of this system by name.
//!
//! Of each file only the table directory, the names and a word of OS/2 are read, a few kilobytes: some hundred
//! fonts take milliseconds. Rejected: fontdb, which maps whole files into memory, trusts the number of faces that a file
//! claims to have, and brings three crates for what these lines do.

use std::fs::File;
use std::os::unix::fs::FileExt as _;
use std::path::{Path, PathBuf};

use ttf_parser::{Tag, name, name_id, os2};

use super::FontError;
use super::files::{EXTENSIONS, FontFile, walk};

/// Folders within folders that are looked into.
const DEPTH: usize = 6;

/// Faces of a file, tables of a face and bytes of a table that are looked at.
const MOST_FACES: u32 = 256;
const MOST_TABLES: usize = 256;
const MOST_BYTES: usize = 1 << 20;

/// How many similar names are told.
const SIMILAR: usize = 5;

/// The faces in some folders.
pub(super) struct Installed {
    faces: Vec<Named>,
}

struct Named {
    file: FontFile,
    /// PostScript name.
    own: String,
    /// Names of the family, in any language.
    families: Vec<String>,
    /// How far it is from upright, normal and regular: less is nearer.
    distance: (bool, u16, u16),
}

impl Installed {
    /// Reads the names of all font files in folders. What is no font is passed over: nobody asked for it.
    pub(super) fn read(folders: &[PathBuf]) -> Self {
        let mut faces = Vec::new();
        for folder in folders {
            walk(folder, DEPTH, &mut |path| {
                if path.extension().is_some_and(|extension| {
                    EXTENSIONS.iter().any(|font| extension.eq_ignore_ascii_case(font))
                }) {
                    read(path, &mut faces);
                }
                true
            });
        }
        Self { faces }
    }

    /// The face of a PostScript name; else the face of a family that is nearest to upright, normal and regular.
    pub(super) fn find(&self, name: &str) -> Result<FontFile, FontError> {
        let is_name = |other: &String| other.to_lowercase() == name.to_lowercase();
        let own = || self.faces.iter().find(|face| is_name(&face.own));
        let family = || {
            self.faces
                .iter()
                .filter(|face| face.families.iter().any(is_name))
                .min_by_key(|face| face.distance)
        };
        match own().or_else(family) {
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
        let names = self.faces.iter().flat_map(|face| face.families.iter().chain([&face.own]));
        let score =
            |other: &str| if other.contains(&wanted) { 1.0 } else { strsim::jaro_winkler(other, &wanted) };
        let mut scored: Vec<(f64, &String)> =
            names.map(|name| (score(&plain(name)), name)).filter(|(score, _)| *score > 0.8).collect();
        scored.sort_by(|one, other| other.0.total_cmp(&one.0).then_with(|| one.1.cmp(other.1)));
        scored.dedup_by(|one, other| one.1 == other.1);
        scored.into_iter().take(SIMILAR).map(|(_, name)| name.clone()).collect()
    }
}

/// Adds the faces of a file; as many as can be read.
fn read(path: &Path, faces: &mut Vec<Named>) {
    let Ok(file) = File::open(path) else { return };
    let Some(start) = piece(&file, 0, 12) else { return };
    let is_collection = start.starts_with(b"ttcf");
    let count = if is_collection { number(&start, 8).min(MOST_FACES) } else { 1 };
    for face in 0..count {
        let listed = || piece(&file, 12 + 4 * u64::from(face), 4).map(|offset| u64::from(number(&offset, 0)));
        let offset = if is_collection { listed() } else { Some(0) };
        let file = offset.and_then(|offset| {
            named(&file, offset, FontFile { path: path.to_owned(), face: is_collection.then_some(face) })
        });
        faces.extend(file);
    }
}

fn named(file: &File, offset: u64, place: FontFile) -> Option<Named> {
    let count = usize::from(u16::from_be_bytes(*piece(file, offset + 4, 2)?.first_chunk()?)).min(MOST_TABLES);
    let directory = piece(file, offset + 12, 16 * count)?;
    let table = |tag: &[u8; 4]| {
        let entry = directory.as_chunks::<16>().0.iter().find(|entry| entry.starts_with(tag))?;
        let length = usize::try_from(number(entry, 12)).ok().filter(|length| *length <= MOST_BYTES)?;
        piece(file, u64::from(number(entry, 8)), length)
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
    let about = table(&Tag::from_bytes(b"OS/2").to_bytes()).unwrap_or_default();
    let distance = os2::Table::parse(&about).map_or((true, u16::MAX, u16::MAX), |about| {
        let slanted = about.style() != ttf_parser::Style::Normal;
        (slanted, about.width().to_number().abs_diff(5), about.weight().to_number().abs_diff(400))
    });
    let own = all(name_id::POST_SCRIPT_NAME).into_iter().next()?;
    Some(Named { file: place, own, families, distance })
}

fn piece(file: &File, from: u64, length: usize) -> Option<Vec<u8>> {
    let mut bytes = vec![0; length];
    file.read_exact_at(&mut bytes, from).ok()?;
    Some(bytes)
}

fn number(bytes: &[u8], at: usize) -> u32 {
    bytes.get(at..).and_then(|rest| rest.first_chunk()).map_or(0, |number| u32::from_be_bytes(*number))
}
