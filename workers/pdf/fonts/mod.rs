//! The faces of documents: two typefaces, each a chain of fallbacks.
//!
//! IPAex lacks kanji of real names (𠮷, 槗), so a chain ends with a face that has them. The chain of the
//! other typeface follows: a character that any face draws is never rejected. No font file is part of this
//! project.

mod error;
mod file;
mod folders;
mod names;
mod paths;
mod read;

use sha2::{Digest, Sha256};

pub use error::FontError;
pub use file::FontFile;
pub use paths::FontPaths;

use crate::face::Face;
use crate::normalize;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Typeface {
    /// Running text (明朝).
    Mincho,
    /// Headings, labels and emphasis (ゴシック).
    Gothic,
}

/// Every face, parsed once per process. Share it behind an `Arc`.
pub struct Fonts {
    faces: Vec<Face>,
    files: Vec<FontFile>,
    chains: [Vec<u8>; 2],
    identity: String,
    /// The marks that have a common glyph with some character, ascending.
    marks: Vec<char>,
    /// A bit per code point of three planes: it can be drawn in any text.
    plain: Vec<u64>,
}

/// End of the planes that hold names. The others hold emoji, tags and private use.
const PLAIN: u32 = 0x3_0000;

/// Names and identity only: the faces are megabytes.
impl std::fmt::Debug for Fonts {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let names: Vec<_> = self.faces.iter().map(|face| face.name.as_str()).collect();
        f.debug_struct("Fonts").field("faces", &names).field("sha256", &self.identity).finish_non_exhaustive()
    }
}

impl Fonts {
    pub fn load(paths: &FontPaths) -> Result<Self, FontError> {
        let mut files: Vec<FontFile> = Vec::new();
        let mut faces: Vec<Face> = Vec::new();
        let mut chains = [Vec::new(), Vec::new()];
        for ((chain, typeface), list) in
            chains.iter_mut().zip(["mincho", "gothic"]).zip([&paths.mincho, &paths.gothic])
        {
            if list.is_empty() {
                return Err(FontError::Empty { typeface });
            }
            for file in list {
                let at = if let Some(at) = files.iter().position(|other| other == file) {
                    at
                } else {
                    let bytes = read::read(file)?;
                    let face = file
                        .face
                        .map_or_else(|| Face::parse(&bytes), |face| Face::parse_member(&bytes, face));
                    faces.push(face.map_err(|problem| FontError::Parse { file: file.clone(), problem })?);
                    files.push(file.clone());
                    files.len() - 1
                };
                chain.push(u8::try_from(at).map_err(|_| FontError::TooMany)?);
            }
        }
        let [mincho, gothic] = &chains;
        let behind = |own: &[u8], other: &[u8]| [own, other].concat();
        let chains = [behind(mincho, gothic), behind(gothic, mincho)];
        let mut hash = Sha256::new();
        for (typeface, chain) in (0_u8..).zip(&chains) {
            for &face in chain {
                hash.update([typeface]);
                let at = usize::from(face);
                hash.update(faces[at].digest);
                hash.update(files[at].face.unwrap_or(0).to_be_bytes());
            }
        }
        let identity = hex::encode(hash.finalize());
        let mut marks: Vec<char> = faces.iter().flat_map(Face::marks).collect();
        marks.sort_unstable();
        marks.dedup();
        let mut fonts = Self { faces, files, chains, identity, marks, plain: Vec::new() };
        fonts.plain = fonts.plain_bits();
        Ok(fonts)
    }

    /// PostScript name, file, and SHA-256 of the file (hexadecimal) of each face.
    pub fn loaded(&self) -> impl Iterator<Item = (&str, &FontFile, String)> {
        self.faces
            .iter()
            .zip(&self.files)
            .map(|(face, file)| (face.name.as_str(), file, hex::encode(face.digest)))
    }

    /// Over all faces in their order: part of the identity of a document.
    pub fn sha256(&self) -> &str {
        &self.identity
    }

    /// The characters of `text` that cannot be drawn, each once, in their order.
    ///
    /// They are looked up as drawing does it: after composition, with their mark if a face has a glyph for
    /// the two, otherwise one by one, without default-ignorable characters (a variation selector without a
    /// glyph). Characters that drawing rejects (controls, bidirectional overrides) count as missing, so a
    /// text without missing characters can always be drawn.
    ///
    /// Every printed text of every application is checked here, so nearly all characters take one bit test.
    pub fn missing(&self, text: &str) -> Vec<char> {
        let is_plain = |character| {
            let code = u32::from(character);
            self.plain
                .get((code / u64::BITS) as usize)
                .is_some_and(|bits| bits >> (code % u64::BITS) & 1 == 1)
        };
        if text.chars().all(is_plain) { Vec::new() } else { self.look_up_missing(text) }
    }

    fn plain_bits(&self) -> Vec<u64> {
        let is_plain = |character| {
            self.faces.iter().any(|face| face.lists(character))
                && !normalize::is_forbidden(character)
                && !normalize::is_ignorable(character)
                && normalize::is_composed(character)
        };
        let bit = |code| char::from_u32(code).is_some_and(is_plain);
        let word = |first| (0..u64::BITS).filter(|&at| bit(first + at)).fold(0, |word, at| word | 1 << at);
        (0..PLAIN / u64::BITS).map(|at| word(at * u64::BITS)).collect()
    }

    fn look_up_missing(&self, text: &str) -> Vec<char> {
        let mut missing = Vec::new();
        let text = normalize::compose(text);
        let mut characters = text.chars().peekable();
        while let Some(character) = characters.next() {
            // A mark that is part of the glyph needs no glyph of its own.
            let is_joined = characters.next_if(|&mark| self.is_sequence(character, mark)).is_some();
            let is_drawn = is_joined
                || normalize::is_ignorable(character)
                || self.find(Typeface::Mincho, character, None).is_some();
            if (normalize::is_forbidden(character) || !is_drawn) && !missing.contains(&character) {
                missing.push(character);
            }
        }
        missing
    }

    fn is_sequence(&self, character: char, mark: char) -> bool {
        self.has_marks(mark) && self.find(Typeface::Mincho, character, Some(mark)).is_some()
    }

    /// Fast, and false for nearly every character: [`Self::find`] with a mark is only
    /// worth its time if this is true.
    pub(crate) fn has_marks(&self, mark: char) -> bool {
        // Excludes kanji, and everything before the first tone mark and accent.
        !matches!(mark, '\0'..'\u{2E5}' | '\u{3100}'..'\u{FE00}') && self.marks.binary_search(&mark).is_ok()
    }

    /// The first face in the chain of a typeface with the character, and its glyph.
    /// With a mark (variation selector or combining mark), a glyph common to the two.
    pub(crate) fn find(&self, typeface: Typeface, character: char, mark: Option<char>) -> Option<(u8, u16)> {
        self.chains[typeface as usize]
            .iter()
            .find_map(|&face| Some((face, self.faces[usize::from(face)].glyph_id(character, mark)?)))
    }

    pub(crate) fn face(&self, face: u8) -> &Face {
        &self.faces[usize::from(face)]
    }
}

#[cfg(test)]
pub(crate) mod tests;
