//! What an operator edits: obligees, branches and the surety, read and checked; and what a certificate takes from them.

pub mod certificate;
pub mod obligees;
pub mod surety;
mod toml_file;

use self::{
    obligees::Registry,
    surety::{Branches, Sureties},
};

/// Obligees, branches and the surety, read and checked.
pub struct ReferenceData {
    pub obligees: Registry,
    /// 取扱箇所.
    pub branches: Branches,
    /// 保証会社 through time.
    pub sureties: Sureties,
}
