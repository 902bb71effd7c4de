//! Which dead letters an operator means.

use chrono::NaiveDateTime;
use hosho_schema::{
    db::{Connection, DbError},
    models::failed_message::{self, Filter, State},
};
use serde::Serialize;

use crate::{
    db::Db,
    dead_letters::advice,
    operations::{
        Error,
        identifier::{Kind, complete_in},
        time,
    },
    stages,
};

/// Conditions of an operator: all must match; of several values of one, any.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct Selection {
    /// Identifiers, or their beginnings; so are groups and the run.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub ids: Vec<String>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub group: Vec<String>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub stage: Vec<String>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub code: Vec<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub since: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub until: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub text: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub run: Option<String>,
}

/// The filter that a selection means, and warnings about likely typing errors.
#[derive(Debug)]
pub struct Resolved {
    pub filter: Filter,
    pub warnings: Vec<String>,
}

impl Selection {
    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }

    /// Rejects a selection of every message.
    pub fn require(&self) -> Result<(), Error> {
        if self.is_empty() {
            return Err(Error::invalid("nothing was selected")
                .hint("give identifiers, --group, --stage, --code, --since, --until, --text or --run"));
        }
        Ok(())
    }

    /// The conditions as JSON, for the record.
    pub fn to_json(&self) -> String {
        serde_json::to_string(self).unwrap_or_default()
    }

    /// Completes identifiers and reads times. No states means every state.
    pub async fn resolve(self, db: &Db, states: Vec<State>, now: NaiveDateTime) -> Result<Resolved, Error> {
        let time =
            |option, text: Option<&String>| text.map(|text| time::parse(option, text, now)).transpose();
        let (since, until) = (time("--since", self.since.as_ref())?, time("--until", self.until.as_ref())?);
        db.call(move |db| {
            let warnings = typing_errors(db, &self)?;
            let mut all = |kind, beginnings: &[String]| -> Result<Vec<String>, Error> {
                beginnings.iter().map(|beginning| complete_in(db, kind, beginning)).collect()
            };
            let filter = Filter {
                ids: all(Kind::DeadLetter, &self.ids)?,
                groups: all(Kind::Group, &self.group)?,
                run_id: all(Kind::Run, self.run.as_slice())?.pop(),
                stages: self.stage,
                codes: self.code,
                states,
                since,
                until,
                text: self.text,
                ..Filter::default()
            };
            Ok(Resolved { filter, warnings })
        })
        .await
    }
}

/// Stages and codes that neither the program nor any dead letter has.
fn typing_errors(db: &mut Connection, selection: &Selection) -> Result<Vec<String>, DbError> {
    let mut warnings = Vec::new();
    for stage in selection.stage.iter().filter(|stage| !stages::NAMES.contains(&stage.as_str())) {
        let filter = Filter { stages: vec![stage.clone()], ..Filter::default() };
        if failed_message::counts(db, &filter)?.is_empty() {
            warnings.push(format!("there is no stage {stage:?}: {}", stages::NAMES.join(", ")));
        }
    }
    for code in selection.code.iter().filter(|code| advice(code).is_none()) {
        let filter = Filter { codes: vec![code.clone()], ..Filter::default() };
        if failed_message::counts(db, &filter)?.is_empty() {
            warnings.push(format!("there is no code {code:?}: `hosho failed groups --all` lists the codes"));
        }
    }
    Ok(warnings)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn records_only_the_conditions_that_were_given() {
        let selection =
            Selection { group: vec!["a1".to_owned()], since: Some("2h".to_owned()), ..Selection::default() };
        assert_eq!(selection.to_json(), r#"{"group":["a1"],"since":"2h"}"#);
        assert!(Selection::default().require().is_err() && selection.require().is_ok());
    }
}
