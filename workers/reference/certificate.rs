//! Builds a certificate's content from an application and the data of the day.
//! The data are those of the surety, branch and obligee.

use chrono::NaiveDate;
use hosho_schema::snapshots::{Application, Certificate};

use crate::{
    domain::{
        certificate::{self, Issuance},
        number::GuaranteeNumber,
    },
    fault::{Fault, Reason},
    reference::ReferenceData,
};

/// `revision` is the 変更 number of the product line, `issued_on` the day in Tokyo.
pub fn build(
    data: &ReferenceData,
    application: &Application,
    line: usize,
    number: &GuaranteeNumber,
    revision: i64,
    issued_on: NaiveDate,
) -> Result<Certificate, Fault> {
    let missing = |what: &str, code: &str| {
        let text = format!("{what} {code} of an accepted application is not configured {}", data.place());
        Fault::new(Reason::DataMissing, text)
    };
    let entry =
        data.sureties.on(issued_on).map_err(|error| Fault::from_error(Reason::DataMissing, &error))?;
    let branch =
        data.branches.get(&application.branch).ok_or_else(|| missing("branch", &application.branch))?;
    let obligee =
        data.obligees.get(&application.obligee).ok_or_else(|| missing("obligee", &application.obligee))?;
    let issuance = Issuance { number, revision, issued_on, surety: &entry.surety, branch, obligee };
    certificate::build(application, line, &issuance)
        .map_err(|error| Fault::from_error(Reason::ReferenceMissing, &error))
}
