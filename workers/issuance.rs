//! Draws up the content of a certificate from an application and what is configured on the day: surety, branch, obligee.

use chrono::NaiveDate;
use hosho_schema::snapshots::{Application, Certificate};

use crate::{
    assembly::Data,
    domain::{
        certificate::{self, Issuance},
        number::GuaranteeNumber,
    },
    stage::{Fault, Reason},
};

/// Draws up the certificate of a product line: `revision` is its 変更 number, `issued_on` the day in Tokyo.
pub fn draw_up(
    data: &Data,
    application: &Application,
    line: usize,
    number: &GuaranteeNumber,
    revision: i64,
    issued_on: NaiveDate,
) -> Result<Certificate, Fault> {
    let gone = |what: &str, code: &str| {
        Fault::new(Reason::DataMissing, format!("{what} {code} of an accepted application is not configured"))
    };
    let entry =
        data.sureties.on(issued_on).map_err(|error| Fault::from_error(Reason::DataMissing, &error))?;
    let branch = data.branches.get(&application.branch).ok_or_else(|| gone("branch", &application.branch))?;
    let obligee =
        data.obligees.get(&application.obligee).ok_or_else(|| gone("obligee", &application.obligee))?;
    let issuance = Issuance { number, revision, issued_on, surety: &entry.surety, branch, obligee };
    certificate::build(application, line, &issuance)
        .map_err(|error| Fault::from_error(Reason::ReferenceMissing, &error))
}
