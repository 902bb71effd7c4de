//! The faces documents are drawn with: two styles, each a chain in which the next face helps out.
//!
//! IPAex lacks kanji that stand in real names (𠮷, 槗), so a chain ends with a face that has them, and behind a
//! style's own chain stands the other style's: a character that any face draws is never refused. No font file is
//! part of this project.

mod error;
mod files;
mod names;

use sha2::{Digest, Sha256};

pub use error::FontError;
pub use files::{FontFile, FontPaths};

use super::face::Face;
use super::text;

/// A style of letters.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Style {
    /// 明朝.
    Mincho,
    /// ゴシック.
    Gothic,
}

/// Every face, parsed once per process. Share it behind an `Arc`.
pub struct Fonts {
    faces: Vec<Face>,
    /// Where each face was read.
    files: Vec<FontFile>,
    chains: [Vec<u8>; 2],
    identity: String,
    /// The marks that stand in a sequence of any face, ascending.
    marks: Vec<char>,
    /// One bit for each code point of the first three planes: set where it is drawn, wherever it stands.
    plain: Vec<u64>,
}

/// The planes that hold names: the others hold emoji, tags and private use.
const PLAIN: u32 = 0x3_0000;

/// Shows names and identity only: the faces are megabytes.
impl std::fmt::Debug for Fonts {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let names: Vec<_> = self.faces.iter().map(|face| face.name.as_str()).collect();
        f.debug_struct("Fonts").field("faces", &names).field("sha256", &self.identity).finish_non_exhaustive()
    }
}

impl Fonts {
    /// Reads and parses all font files; a file named twice is read once.
    pub fn load(paths: &FontPaths) -> Result<Self, FontError> {
        let mut files: Vec<FontFile> = Vec::new();
        let mut faces: Vec<Face> = Vec::new();
        let mut chains = [Vec::new(), Vec::new()];
        for ((chain, style), list) in
            chains.iter_mut().zip(["mincho", "gothic"]).zip([&paths.mincho, &paths.gothic])
        {
            if list.is_empty() {
                return Err(FontError::Empty { style });
            }
            for file in list {
                let at = if let Some(at) = files.iter().position(|other| other == file) {
                    at
                } else {
                    let bytes = file.read()?;
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
        for (style, chain) in (0_u8..).zip(&chains) {
            for &face in chain {
                hash.update([style]);
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
        fonts.plain = fonts.plain();
        Ok(fonts)
    }

    /// What was loaded, each face once: PostScript name, file, and SHA-256 of the file as lower-case hex.
    pub fn loaded(&self) -> impl Iterator<Item = (&str, &FontFile, String)> {
        self.faces
            .iter()
            .zip(&self.files)
            .map(|(face, file)| (face.name.as_str(), file, hex::encode(face.digest)))
    }

    /// SHA-256 over all faces in their order, as lower-case hex: the fonts' part of a document's identity.
    pub fn sha256(&self) -> &str {
        &self.identity
    }

    /// The characters of `text` that no face of either style draws, each once, in order of appearance.
    ///
    /// Looked up as drawing does it: after composition, a character with its mark where a face has a glyph for the two, and
    /// otherwise one by one, without default-ignorable characters (a variation selector without a glyph). Characters that
    /// drawing refuses (controls, bidirectional overrides) count as missing, so a text without missing characters
    /// can always be drawn.
    ///
    /// Every printed text of every application comes here, so what nearly all of them are made of is one bit to look at.
    pub fn missing(&self, text: &str) -> Vec<char> {
        let is_plain = |character| {
            let code = u32::from(character);
            self.plain
                .get((code / u64::BITS) as usize)
                .is_some_and(|bits| bits >> (code % u64::BITS) & 1 == 1)
        };
        if text.chars().all(is_plain) { Vec::new() } else { self.looked_up(text) }
    }

    fn plain(&self) -> Vec<u64> {
        let is_plain = |character| {
            self.faces.iter().any(|face| face.lists(character))
                && !text::is_forbidden(character)
                && !text::is_ignorable(character)
                && text::is_composed(character)
        };
        let bit = |code| char::from_u32(code).is_some_and(is_plain);
        let word = |first| (0..u64::BITS).filter(|&at| bit(first + at)).fold(0, |word, at| word | 1 << at);
        (0..PLAIN / u64::BITS).map(|at| word(at * u64::BITS)).collect()
    }

    fn looked_up(&self, text: &str) -> Vec<char> {
        let mut missing = Vec::new();
        let text = text::composed(text);
        let mut characters = text.chars().peekable();
        while let Some(character) = characters.next() {
            // A mark that is part of the glyph need not be drawn by itself.
            let is_joined = characters.next_if(|&mark| self.is_sequence(character, mark)).is_some();
            let is_drawn = is_joined
                || text::is_ignorable(character)
                || self.find(Style::Mincho, character, None).is_some();
            if (text::is_forbidden(character) || !is_drawn) && !missing.contains(&character) {
                missing.push(character);
            }
        }
        missing
    }

    fn is_sequence(&self, character: char, mark: char) -> bool {
        self.has_marks(mark) && self.find(Style::Mincho, character, Some(mark)).is_some()
    }

    /// Whether any face has a glyph for any character together with this mark. Fast, and false for nearly every character:
    /// [`Self::find`] with a mark pays only where it is true.
    pub(super) fn has_marks(&self, mark: char) -> bool {
        // Kanji, and what is before the first tone and accent.
        !matches!(mark, '\0'..'\u{2E5}' | '\u{3100}'..'\u{FE00}') && self.marks.binary_search(&mark).is_ok()
    }

    /// The first face of the style's chain with the character, and its glyph. With a mark (variation selector or combining
    /// mark), the first face that has a glyph for the two together.
    pub(super) fn find(&self, style: Style, character: char, mark: Option<char>) -> Option<(u8, u16)> {
        self.chains[style as usize]
            .iter()
            .find_map(|&face| Some((face, self.faces[usize::from(face)].glyph(character, mark)?)))
    }

    /// A face by the number [`Fonts::find`] gave.
    pub(super) fn face(&self, face: u8) -> &Face {
        &self.faces[usize::from(face)]
    }
}

#[cfg(test)]
pub(crate) mod tests;
