//! The data that an operator edits: obligees, branches and the surety, read and checked.

pub mod certificate;
pub mod obligees;
pub mod surety;
mod toml_file;

use std::path::PathBuf;

use self::{
    obligees::Registry,
    surety::{Branches, Sureties},
};

pub struct ReferenceData {
    /// `data.folder`; `None` for the built-in data.
    pub folder: Option<PathBuf>,
    pub obligees: Registry,
    pub branches: Branches,
    /// 保証会社 over time.
    pub sureties: Sureties,
}
