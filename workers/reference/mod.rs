//! Data that an operator edits: obligees, branches and the surety.

pub mod certificate;
pub mod obligees;
pub mod surety;
mod toml_file;

use std::path::PathBuf;

use self::{
    obligees::Registry,
    surety::{Branches, Sureties},
};
use crate::audit::host;

pub struct ReferenceData {
    /// `data.folder`; `None` for the built-in data.
    pub folder: Option<PathBuf>,
    pub obligees: Registry,
    pub branches: Branches,
    /// 保証会社 over time.
    pub sureties: Sureties,
}

impl ReferenceData {
    /// Host and folder, for the text of a fault.
    /// Quoted names do not count in the fingerprint: the same cause on two hosts is one group.
    pub fn place(&self) -> String {
        let folder = self
            .folder
            .as_ref()
            .map_or_else(|| "the built-in data".to_owned(), |path| format!("'{}'", path.display()));
        format!("on host '{}' in {folder}", host())
    }
}
