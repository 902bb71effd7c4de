//! Which font files: what the configuration says, found on this system.
//!
//! A setting names a file (`/usr/share/fonts/…/ipaexm.ttf`, in a collection `NotoSansCJK-Regular.ttc#0`) or a font by
//! its PostScript or family name (`BIZ UDMincho`). Names are looked up only where one is configured.

use std::fmt;
use std::io::Read as _;
use std::path::{Path, PathBuf};

use super::FontError;
use super::names::Installed;

/// Font files by style, each list in the order in which a character is looked for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FontPaths {
    /// 明朝: running text.
    pub mincho: Vec<FontFile>,
    /// ゴシック: headings, labels, emphasis.
    pub gothic: Vec<FontFile>,
}

/// A font file, or one face of a file that holds several. Shown as `path` or `path#number`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FontFile {
    /// The file.
    pub path: PathBuf,
    /// Number of the face, from 0; a file with one face needs none.
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
    /// Larger files are no fonts: the largest in use, collections of Noto, have 27 MB.
    const LARGEST: u64 = 256 << 20;

    /// Reads `path` or `path#number`; `None` for what looks like a name.
    fn of(setting: &str) -> Option<Self> {
        let number = setting.rsplit_once('#').and_then(|(path, number)| Some((path, number.parse().ok()?)));
        let (path, face) = number.map_or((setting, None), |(path, face)| (path, Some(face)));
        let path = Path::new(path);
        let is_font =
            |extension: &std::ffi::OsStr| EXTENSIONS.iter().any(|font| extension.eq_ignore_ascii_case(font));
        let is_file =
            path.components().count() > 1 || path.is_absolute() || path.extension().is_some_and(is_font);
        is_file.then(|| Self { path: path.to_owned(), face })
    }

    /// The bytes of the file.
    pub(super) fn read(&self) -> Result<Vec<u8>, FontError> {
        let failed = |source| FontError::Read { path: self.path.clone(), source };
        let problem = |problem: &str| FontError::Parse { file: self.clone(), problem: problem.to_owned() };
        let about = std::fs::metadata(&self.path).map_err(failed)?;
        if !about.is_file() {
            return Err(problem("it is no file"));
        }
        let mut bytes = Vec::new();
        if about.len() <= Self::LARGEST {
            // It may grow while it is read.
            let file = std::fs::File::open(&self.path).map_err(failed)?;
            file.take(Self::LARGEST + 1).read_to_end(&mut bytes).map_err(failed)?;
        }
        if about.len().max(bytes.len() as u64) > Self::LARGEST {
            return Err(problem("it is larger than 256 MB"));
        }
        Ok(bytes)
    }
}

/// How the names of font files end.
pub(super) const EXTENSIONS: [&str; 4] = ["ttf", "otf", "ttc", "otc"];

/// A font file that [`FontPaths::system`] looks for, and the Debian package that brings it.
const MINCHO: (&str, &str) = ("ipaexm.ttf", "fonts-ipaexfont-mincho");
const GOTHIC: (&str, &str) = ("ipaexg.ttf", "fonts-ipaexfont-gothic");
const FALLBACK: (&str, &str) = ("VL-Gothic-Regular.ttf", "fonts-vlgothic");

/// Where Debian and an administrator put fonts.
const FOLDERS: [&str; 2] = ["/usr/share/fonts", "/usr/local/share/fonts"];

/// Folders within folders that are looked into.
const DEPTH: usize = 6;

impl FontPaths {
    /// Finds IPAex Mincho and Gothic, each with VL Gothic behind it, in the system's font folders.
    pub fn system() -> Result<Self, FontError> {
        let find = |(file, package): (&'static str, &'static str)| {
            let found = FOLDERS
                .iter()
                .find_map(|folder| find_file(Path::new(folder), DEPTH, &|path| path.ends_with(file)));
            found.map(FontFile::from).ok_or(FontError::NotInstalled { file, package })
        };
        let fallback = find(FALLBACK)?;
        Ok(Self { mincho: vec![find(MINCHO)?, fallback.clone()], gothic: vec![find(GOTHIC)?, fallback] })
    }

    /// Finds what is configured for each style, files or names of fonts; [`Self::system`] stands in for an empty list.
    pub fn find(mincho: &[String], gothic: &[String]) -> Result<Self, FontError> {
        Self::find_in(mincho, gothic, &folders())
    }

    pub(super) fn find_in(
        mincho: &[String],
        gothic: &[String],
        folders: &[PathBuf],
    ) -> Result<Self, FontError> {
        let mut installed = None;
        let mut file = |setting: &String| {
            FontFile::of(setting)
                .map_or_else(|| installed.get_or_insert_with(|| Installed::read(folders)).find(setting), Ok)
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

/// Where names are looked up: the user's own folder before the administrator's, that before the system's.
fn folders() -> Vec<PathBuf> {
    let own = std::env::var_os("HOME").map(|home| Path::new(&home).join(".local/share/fonts"));
    own.into_iter().chain(FOLDERS.iter().rev().map(PathBuf::from)).collect()
}

/// The first file of a folder, and of those within it, that `is_wanted`; in the order of names.
pub(super) fn find_file(folder: &Path, depth: usize, is_wanted: &dyn Fn(&Path) -> bool) -> Option<PathBuf> {
    let mut found = None;
    walk(folder, depth, &mut |path| {
        let is_found = is_wanted(path);
        if is_found {
            found = Some(path.to_owned());
        }
        !is_found
    });
    found
}

/// Shows every file of a folder, then those of the folders within it, until `more` is not wanted; whether it still is.
pub(super) fn walk(folder: &Path, depth: usize, more: &mut dyn FnMut(&Path) -> bool) -> bool {
    let Ok(entries) = std::fs::read_dir(folder) else { return true };
    // Symbolic links to folders are not followed: no loops.
    let is_folder = |entry: &std::fs::DirEntry| entry.file_type().is_ok_and(|kind| kind.is_dir());
    let (mut folders, mut files): (Vec<_>, Vec<_>) = entries.flatten().partition(is_folder);
    folders.sort_by_key(std::fs::DirEntry::file_name);
    files.sort_by_key(std::fs::DirEntry::file_name);
    files.iter().map(std::fs::DirEntry::path).filter(|path| path.is_file()).all(|path| more(&path))
        && (depth == 0 || folders.iter().all(|folder| walk(&folder.path(), depth - 1, more)))
}
