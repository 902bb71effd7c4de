//! Searches the font folders of the system.

use std::fs::DirEntry;
use std::path::{Path, PathBuf};

/// The folders of Debian and of an administrator.
const SYSTEM: [&str; 2] = ["/usr/share/fonts", "/usr/local/share/fonts"];

/// Most levels of nested folders that are searched.
const MAX_DEPTH: usize = 6;

const EXTENSIONS: [&str; 4] = ["ttf", "otf", "ttc", "otc"];

pub(super) fn is_font(path: &Path) -> bool {
    path.extension()
        .is_some_and(|extension| EXTENSIONS.iter().any(|known| extension.eq_ignore_ascii_case(known)))
}

/// The folders that are searched for names: those of user, administrator, system.
pub(super) fn by_precedence() -> Vec<PathBuf> {
    let own = std::env::var_os("HOME").map(|home| Path::new(&home).join(".local/share/fonts"));
    own.into_iter().chain(SYSTEM.iter().rev().map(PathBuf::from)).collect()
}

pub(super) fn find_file(name: &str) -> Option<PathBuf> {
    let mut found = None;
    for folder in SYSTEM {
        walk(Path::new(folder), &mut |path| {
            if path.ends_with(name) {
                found = Some(path.to_owned());
            }
            found.is_none()
        });
        if found.is_some() {
            break;
        }
    }
    found
}

/// Files by name, then nested folders by name, until `visit` returns false.
pub(super) fn walk(folder: &Path, visit: &mut dyn FnMut(&Path) -> bool) {
    walk_to(folder, MAX_DEPTH, visit);
}

fn walk_to(folder: &Path, depth: usize, visit: &mut dyn FnMut(&Path) -> bool) -> bool {
    let Ok(entries) = std::fs::read_dir(folder) else { return true };
    // Symbolic links to folders are not followed, so there are no loops.
    let is_folder = |entry: &DirEntry| entry.file_type().is_ok_and(|kind| kind.is_dir());
    let (mut folders, mut files): (Vec<_>, Vec<_>) = entries.flatten().partition(is_folder);
    folders.sort_by_key(DirEntry::file_name);
    files.sort_by_key(DirEntry::file_name);
    files.iter().map(DirEntry::path).filter(|path| path.is_file()).all(|path| visit(&path))
        && (depth == 0 || folders.iter().all(|folder| walk_to(&folder.path(), depth - 1, visit)))
}
