//! What can be wrong with fonts, told to whoever configured them.

use std::path::PathBuf;

use super::FontFile;

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
    /// No font of this system has the name.
    #[error("no font here is named {name:?}{}", similar_names(similar))]
    NoSuchName {
        /// The name that is configured.
        name: String,
        /// Names that look like it, the most similar first.
        similar: Vec<String>,
    },
    /// The file is not a font that can be embedded.
    #[error("cannot use font {file}: {problem}")]
    Parse {
        /// The font file.
        file: FontFile,
        /// What is missing or broken.
        problem: String,
    },
    /// More faces than a document can number.
    #[error("more than 255 font files are configured")]
    TooMany,
}

fn similar_names(names: &[String]) -> String {
    match names {
        [] => ", nor anything like it; a file is named with its folder or its ending".to_owned(),
        names => format!("; similar ones are {}", names.join(", ")),
    }
}
