use std::path::PathBuf;

use super::file::FontFile;

#[derive(Debug, thiserror::Error)]
pub enum FontError {
    #[error("font {file} is not installed: install the Debian package {package}")]
    NotInstalled { file: &'static str, package: &'static str },
    #[error("no {typeface} font is configured")]
    Empty {
        /// `mincho` or `gothic`.
        typeface: &'static str,
    },
    #[error("cannot read font file {}", path.display())]
    Read { path: PathBuf, source: std::io::Error },
    #[error("no installed font is named {name:?}{}", suggestions(similar))]
    NoSuchName { name: String, similar: Vec<String> },
    #[error("cannot use font {file}: {problem}")]
    Parse { file: FontFile, problem: String },
    #[error("more than 255 font files are configured")]
    TooMany,
}

fn suggestions(similar: &[String]) -> String {
    match similar {
        [] => ", and none has a similar name; to name a file, give its folder or its extension".to_owned(),
        names => format!("; similar names: {}", names.join(", ")),
    }
}
