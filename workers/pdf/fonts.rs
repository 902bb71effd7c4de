//! The faces documents are drawn with: two styles, each a chain in which the next face helps out.
//!
//! IPAex lacks kanji that stand in real names (𠮷, 槗), so a chain ends with a face that has them, and behind a
//! style's own chain stands the other style's: a character that any face draws is never refused. No font file is
//! part of this project.

use std::path::{Path, PathBuf};

use sha2::{Digest, Sha256};

use super::face::Face;
use super::text;
use crate::hex::hex;

/// Font files by style, each list in the order in which a character is looked for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FontPaths {
    /// 明朝: running text.
    pub mincho: Vec<PathBuf>,
    /// ゴシック: headings, labels, emphasis.
    pub gothic: Vec<PathBuf>,
}

/// A font file that [`FontPaths::system`] looks for, and the Debian package that brings it.
const MINCHO: (&str, &str) = ("ipaexm.ttf", "fonts-ipaexfont-mincho");
const GOTHIC: (&str, &str) = ("ipaexg.ttf", "fonts-ipaexfont-gothic");
const FALLBACK: (&str, &str) = ("VL-Gothic-Regular.ttf", "fonts-vlgothic");

/// Where Debian and an administrator put TrueType fonts.
const FOLDERS: [&str; 2] = ["/usr/share/fonts", "/usr/local/share/fonts"];

impl FontPaths {
    /// Finds IPAex Mincho and Gothic, each with VL Gothic behind it, in the system's font folders.
    pub fn system() -> Result<Self, FontError> {
        let find = |(file, package): (&'static str, &'static str)| {
            FOLDERS.iter().find_map(|folder| find_file(Path::new(folder), file, 6)).ok_or(FontError::NotInstalled { file, package })
        };
        let fallback = find(FALLBACK)?;
        Ok(Self { mincho: vec![find(MINCHO)?, fallback.clone()], gothic: vec![find(GOTHIC)?, fallback] })
    }
}

fn find_file(folder: &Path, file: &str, depth: usize) -> Option<PathBuf> {
    let mut folders = Vec::new();
    for entry in std::fs::read_dir(folder).ok()?.flatten() {
        let path = entry.path();
        if entry.file_name() == file && path.is_file() {
            return Some(path);
        }
        // Symbolic links are not followed: no loops.
        if depth > 0 && entry.file_type().is_ok_and(|kind| kind.is_dir()) {
            folders.push(path);
        }
    }
    folders.sort();
    folders.iter().find_map(|folder| find_file(folder, file, depth - 1))
}

/// Says why fonts cannot be loaded.
#[derive(Debug, thiserror::Error)]
pub enum FontError {
    /// A default font is not on this system.
    #[error("font {file} is not installed (Debian package {package})")]
    NotInstalled {
        /// File name.
        file: &'static str,
        /// Debian package that brings it.
        package: &'static str,
    },
    /// A style has no face at all.
    #[error("no {style} font is configured")]
    Empty {
        /// `mincho` or `gothic`.
        style: &'static str,
    },
    /// The file cannot be read.
    #[error("cannot read font {}", path.display())]
    Read {
        /// The font file.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// The file is not a font that can be embedded.
    #[error("cannot use font {}: {problem}", path.display())]
    Parse {
        /// The font file.
        path: PathBuf,
        /// What is missing or broken.
        problem: String,
    },
    /// More faces than a document can number.
    #[error("more than 255 font files are configured")]
    TooMany,
}

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
    chains: [Vec<u8>; 2],
    identity: String,
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
        let mut known: Vec<&Path> = Vec::new();
        let mut faces = Vec::new();
        let mut chains = [Vec::new(), Vec::new()];
        for ((chain, style), list) in chains.iter_mut().zip(["mincho", "gothic"]).zip([&paths.mincho, &paths.gothic]) {
            if list.is_empty() {
                return Err(FontError::Empty { style });
            }
            for path in list {
                let at = if let Some(at) = known.iter().position(|other| other == path) {
                    at
                } else {
                    let bytes = std::fs::read(path).map_err(|source| FontError::Read { path: path.clone(), source })?;
                    faces.push(Face::parse(&bytes).map_err(|problem| FontError::Parse { path: path.clone(), problem })?);
                    known.push(path);
                    known.len() - 1
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
                hash.update(faces[usize::from(face)].digest);
            }
        }
        let identity = hex(&hash.finalize());
        let mut fonts = Self { faces, chains, identity, plain: Vec::new() };
        fonts.plain = fonts.plain();
        Ok(fonts)
    }

    /// SHA-256 over all faces in their order, as lower-case hex: the fonts' part of a document's identity.
    pub fn sha256(&self) -> &str {
        &self.identity
    }

    /// The characters of `text` that no face of either style draws, each once, in order of appearance.
    ///
    /// Looked up as drawing does it: after composition and without default-ignorable characters. Characters that
    /// drawing refuses (controls, bidirectional overrides) count as missing, so a text without missing characters
    /// can always be drawn.
    ///
    /// Every printed text of every application comes here, so what nearly all of them are made of is one bit to look at.
    pub fn missing(&self, text: &str) -> Vec<char> {
        let is_plain = |character| {
            let code = u32::from(character);
            self.plain.get((code / u64::BITS) as usize).is_some_and(|bits| bits >> (code % u64::BITS) & 1 == 1)
        };
        if text.chars().all(is_plain) { Vec::new() } else { self.looked_up(text) }
    }

    fn plain(&self) -> Vec<u64> {
        let is_plain = |character| {
            self.find(Style::Mincho, character).is_some()
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
        for character in text::composed(text).chars() {
            let draws = !text::is_forbidden(character) && (text::is_ignorable(character) || self.find(Style::Mincho, character).is_some());
            if !draws && !missing.contains(&character) {
                missing.push(character);
            }
        }
        missing
    }

    /// The first face of the style's chain with the character, and its glyph.
    pub(super) fn find(&self, style: Style, character: char) -> Option<(u8, u16)> {
        self.chains[style as usize].iter().find_map(|&face| Some((face, self.faces[usize::from(face)].glyph(character)?)))
    }

    /// A face by the number [`Fonts::find`] gave.
    pub(super) fn face(&self, face: u8) -> &Face {
        &self.faces[usize::from(face)]
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use std::sync::OnceLock;

    use super::*;

    /// The system's fonts, loaded once for all tests.
    pub(crate) fn fonts() -> &'static Fonts {
        static FONTS: OnceLock<Fonts> = OnceLock::new();
        FONTS.get_or_init(|| Fonts::load(&FontPaths::system().unwrap()).unwrap())
    }

    #[test]
    fn variant_kanji_are_drawn_by_some_face() {
        assert_eq!(fonts().missing("髙﨑𠮷槗邊邉濵神\u{FA19}①～〜−－"), Vec::<char>::new());
        let (mincho, _) = fonts().find(Style::Mincho, '髙').unwrap();
        let (fallback, _) = fonts().find(Style::Mincho, '𠮷').unwrap();
        assert_eq!(fonts().face(mincho).name, "IPAexMincho");
        assert_eq!(fonts().face(fallback).name, "VL-Gothic-Regular");
    }

    #[test]
    fn missing_names_each_character_once() {
        assert_eq!(
            fonts().missing("山\u{10FFFD}田\u{E0100}\u{200B}\u{E123}\u{10FFFD}\u{000B}\u{202E}"),
            vec!['\u{10FFFD}', '\u{E123}', '\u{000B}', '\u{202E}']
        );
    }

    #[test]
    fn plain_characters_are_those_that_are_drawn_as_they_stand() {
        let fonts = fonts();
        let is_plain = |character: &char| {
            let code = u32::from(*character);
            fonts.plain[(code / 64) as usize] >> (code % 64) & 1 == 1
        };
        let plain: Vec<char> = (0..PLAIN).filter_map(char::from_u32).filter(is_plain).collect();
        assert!(plain.len() > 12_000, "{} characters", plain.len());
        for &character in &plain {
            assert_eq!(fonts.looked_up(&String::from(character)), Vec::<char>::new());
        }
        // Whatever stands beside them: each is its own composition, so is any row of them.
        let all: String = plain.iter().chain(plain.iter().rev()).collect();
        assert_eq!(text::composed(&all), all);
        assert_eq!(fonts.looked_up(&all), Vec::<char>::new());
        for character in ['髙', '﨑', '𠮷', '槗', 'A', ' ', '　', '～', 'ー', '①'] {
            assert!(is_plain(&character), "{character}");
        }
        for character in ['\u{3099}', '\u{301}', '\u{e000}', '\u{200b}', '\u{fe00}', '\u{fa19}', '\u{0}', '\u{12000}'] {
            assert!(!is_plain(&character), "{character:?}");
        }
    }

    #[test]
    fn a_missing_file_and_a_broken_file_are_named() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("none.ttf");
        let paths = FontPaths { mincho: vec![path.clone()], gothic: vec![path.clone()] };
        assert!(matches!(Fonts::load(&paths), Err(FontError::Read { .. })));
        std::fs::write(&path, b"not a font").unwrap();
        let error = Fonts::load(&paths).unwrap_err();
        assert!(error.to_string().contains("none.ttf"), "{error}");
        assert!(matches!(Fonts::load(&FontPaths { mincho: vec![], gothic: vec![] }), Err(FontError::Empty { style: "mincho" })));
    }

    #[test]
    fn identity_depends_on_the_order_of_faces() {
        let paths = FontPaths::system().unwrap();
        let swapped = FontPaths { mincho: paths.gothic.clone(), gothic: paths.mincho.clone() };
        assert_eq!(fonts().sha256().len(), 64);
        assert_ne!(fonts().sha256(), Fonts::load(&swapped).unwrap().sha256());
    }
}
