//! The source files of the repository, by path.

use std::{collections::BTreeMap, path::Path};

pub struct Tree(pub BTreeMap<String, String>);

impl Tree {
    /// # Panics
    /// If the root has no sources.
    pub fn read() -> Self {
        let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
        let mut found = BTreeMap::new();
        walk(&root, "", &mut found);
        assert!(found.len() > 100, "no sources under {}", root.display());
        Self(found)
    }

    /// Rust files below one of the folders; all of them for "".
    pub fn rust(&self, folders: &[&str]) -> impl Iterator<Item = (&str, &str)> {
        let is_rust = |path: &str| Path::new(path).extension().is_some_and(|extension| extension == "rs");
        let files = self.0.iter().map(|(path, text)| (path.as_str(), text.as_str()));
        files.filter(move |(path, _)| is_rust(path) && folders.iter().any(|folder| path.starts_with(folder)))
    }
}

fn walk(folder: &Path, name: &str, found: &mut BTreeMap<String, String>) {
    for entry in folder.read_dir().expect("folder is readable") {
        let path = entry.expect("entry is readable").path();
        let last = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
        let name = if name.is_empty() { last.clone() } else { format!("{name}/{last}") };
        if path.is_dir() {
            if last == ".ci" || !last.starts_with('.') && last != "target" {
                walk(&path, &name, found);
            }
        } else if name.starts_with(".ci/")
            || last == "Makefile"
            || ["rs", "md", "toml", "sql", "hbs", "py"].contains(&last.rsplit('.').next().unwrap_or_default())
        {
            found.insert(name, std::fs::read_to_string(&path).expect("file is UTF-8"));
        }
    }
}
