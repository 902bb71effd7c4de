use std::fmt;
use std::path::{Path, PathBuf};

use super::folders::is_font;

/// A font file, or one face of several: shown as `path` or `path#number`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FontFile {
    pub path: PathBuf,
    /// Number of the face in a collection, from 0.
    pub face: Option<u32>,
}

impl fmt::Display for FontFile {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.path.display())?;
        self.face.map_or(Ok(()), |face| write!(f, "#{face}"))
    }
}

impl AsRef<Path> for FontFile {
    fn as_ref(&self) -> &Path {
        &self.path
    }
}

impl From<PathBuf> for FontFile {
    fn from(path: PathBuf) -> Self {
        Self { path, face: None }
    }
}

impl FontFile {
    /// Parses `path` or `path#number`; `None` if it looks like the name of a font.
    pub(super) fn from_setting(setting: &str) -> Option<Self> {
        let number = setting.rsplit_once('#').and_then(|(path, number)| Some((path, number.parse().ok()?)));
        let (path, face) = number.map_or((setting, None), |(path, face)| (path, Some(face)));
        let path = Path::new(path);
        let is_file = path.components().count() > 1 || path.is_absolute() || is_font(path);
        is_file.then(|| Self { path: path.to_owned(), face })
    }
}
