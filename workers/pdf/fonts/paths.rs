//! Resolves the font settings of the configuration to files of this system.
//!
//! A setting is a file (`/usr/share/fonts/…/ipaexm.ttf`, in a collection `NotoSansCJK-Regular.ttc#0`) or the
//! PostScript or family name of a font (`BIZ UDMincho`). The installed fonts are scanned only if a name is
//! configured.

use std::path::PathBuf;

use super::error::FontError;
use super::file::FontFile;
use super::folders;
use super::names::InstalledFonts;

/// Font files per typeface, in the order in which a character is looked up.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FontPaths {
    pub mincho: Vec<FontFile>,
    pub gothic: Vec<FontFile>,
}

/// The default fonts, each with its Debian package.
const MINCHO: (&str, &str) = ("ipaexm.ttf", "fonts-ipaexfont-mincho");
const GOTHIC: (&str, &str) = ("ipaexg.ttf", "fonts-ipaexfont-gothic");
const FALLBACK: (&str, &str) = ("VL-Gothic-Regular.ttf", "fonts-vlgothic");

impl FontPaths {
    /// The defaults: IPAex Mincho and IPAex Gothic, each with VL Gothic as fallback.
    pub fn system() -> Result<Self, FontError> {
        let find = |(file, package)| {
            folders::find_file(file).map(FontFile::from).ok_or(FontError::NotInstalled { file, package })
        };
        let fallback = find(FALLBACK)?;
        Ok(Self { mincho: vec![find(MINCHO)?, fallback.clone()], gothic: vec![find(GOTHIC)?, fallback] })
    }

    /// An empty list means the default of [`Self::system`].
    pub fn find(mincho: &[String], gothic: &[String]) -> Result<Self, FontError> {
        Self::find_in(mincho, gothic, &folders::by_precedence())
    }

    pub(super) fn find_in(
        mincho: &[String],
        gothic: &[String],
        folders: &[PathBuf],
    ) -> Result<Self, FontError> {
        let mut installed = None;
        let mut file = |setting: &String| match FontFile::from_setting(setting) {
            Some(file) => Ok(file),
            None => installed.get_or_insert_with(|| InstalledFonts::scan(folders)).find(setting),
        };
        let mut list = |settings: &[String]| settings.iter().map(&mut file).collect::<Result<Vec<_>, _>>();
        let mut paths = Self { mincho: list(mincho)?, gothic: list(gothic)? };
        if mincho.is_empty() || gothic.is_empty() {
            let system = Self::system()?;
            if mincho.is_empty() {
                paths.mincho = system.mincho;
            }
            if gothic.is_empty() {
                paths.gothic = system.gothic;
            }
        }
        Ok(paths)
    }
}
