use std::fmt;
use std::fs::File;
use std::io::Read as _;
use std::path::{Path, PathBuf};

use super::error::FontError;
use super::folders::is_font;

/// A font file, or one face of a file that holds several. Shown as `path` or `path#number`.
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
    /// Largest file that is read, in MB. The largest fonts in use, collections of Noto, have 27 MB.
    const MAX_MEGABYTES: u64 = 256;

    /// Parses a setting `path` or `path#number`; `None` if it looks like the name of a font.
    pub(super) fn from_setting(setting: &str) -> Option<Self> {
        let number = setting.rsplit_once('#').and_then(|(path, number)| Some((path, number.parse().ok()?)));
        let (path, face) = number.map_or((setting, None), |(path, face)| (path, Some(face)));
        let path = Path::new(path);
        let is_file = path.components().count() > 1 || path.is_absolute() || is_font(path);
        is_file.then(|| Self { path: path.to_owned(), face })
    }

    pub(super) fn read(&self) -> Result<Vec<u8>, FontError> {
        let failed = |source| FontError::Read { path: self.path.clone(), source };
        let problem = |problem: String| FontError::Parse { file: self.to_string(), problem };
        let metadata = std::fs::metadata(&self.path).map_err(failed)?;
        if !metadata.is_file() {
            return Err(problem("it is not a regular file".to_owned()));
        }
        let limit = Self::MAX_MEGABYTES << 20;
        let mut bytes = Vec::new();
        if metadata.len() <= limit {
            // The file may grow while it is read.
            let file = File::open(&self.path).map_err(failed)?;
            file.take(limit + 1).read_to_end(&mut bytes).map_err(failed)?;
        }
        if metadata.len().max(bytes.len() as u64) > limit {
            return Err(problem(format!("it is larger than {} MB", Self::MAX_MEGABYTES)));
        }
        Ok(bytes)
    }
}
