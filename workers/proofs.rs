//! Proofs (校正刷り): every template rendered with every sample, and drawn where it becomes a document.
//!
//! Run at start, before anything is opened, and by `hosho templates check`. A template that names a value its context
//! lacks, breaks the markup, or needs a glyph no font has, is found here and not by a contractor.

use serde::Serialize;

use crate::{
    mail::MailContext,
    papers::{CertificateContext, NoticeContext},
    pdf::{self, Fonts, Info},
    stage::chain,
    templates::{TemplateContext, Templates},
};

/// One template with one sample.
#[derive(Debug, Clone, Serialize)]
pub struct Proof {
    /// Name of the template.
    pub template: &'static str,
    /// Name of the sample.
    pub sample: &'static str,
    /// What is wrong; nothing when it is good.
    pub problem: Option<String>,
}

/// Says which proofs failed.
#[derive(Debug, thiserror::Error)]
#[error("{}", .0.iter().map(|proof| format!("{} with sample {}: {}", proof.template, proof.sample, proof.problem.as_deref().unwrap_or_default())).collect::<Vec<_>>().join("; "))]
pub struct Failed(Vec<Proof>);

/// What becomes of a rendered template.
#[derive(Clone, Copy)]
enum Into {
    Document,
    Text,
}

/// Makes every proof.
pub fn all(templates: &Templates, fonts: &Fonts) -> Vec<Proof> {
    let mut proofs = of::<NoticeContext>(templates, fonts, Into::Document);
    proofs.extend(of::<CertificateContext>(templates, fonts, Into::Document));
    proofs.extend(of::<MailContext>(templates, fonts, Into::Text));
    proofs
}

/// Fails unless every proof is good.
pub fn check(templates: &Templates, fonts: &Fonts) -> Result<(), Failed> {
    let failed: Vec<Proof> = all(templates, fonts).into_iter().filter(|proof| proof.problem.is_some()).collect();
    if failed.is_empty() { Ok(()) } else { Err(Failed(failed)) }
}

fn of<C: TemplateContext>(templates: &Templates, fonts: &Fonts, into: Into) -> Vec<Proof> {
    let samples = C::samples();
    let pairs = C::TEMPLATES.iter().flat_map(|template| samples.iter().map(move |(sample, context)| (*template, *sample, context)));
    pairs
        .map(|(template, sample, context)| Proof { template, sample, problem: problem(templates, fonts, into, template, context) })
        .collect()
}

fn problem(templates: &Templates, fonts: &Fonts, into: Into, template: &str, context: &impl Serialize) -> Option<String> {
    let text = match templates.render(template, context) {
        Ok(text) => text,
        Err(error) => return Some(chain(&error)),
    };
    match into {
        Into::Text => text.trim().is_empty().then(|| "nothing is left of it".to_owned()),
        Into::Document => {
            let about = Info {
                title: template.to_owned(),
                author: String::new(),
                subject: String::new(),
                created: chrono::NaiveDateTime::default(),
            };
            pdf::draw(&text, fonts, &about).err().map(|error| chain(&error))
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;
    use crate::{pdf::FontPaths, templates::TEMPLATES};

    fn fonts() -> Fonts {
        Fonts::load(&FontPaths::system().unwrap()).unwrap()
    }

    #[test]
    fn every_template_is_proved() {
        let proofs = all(&Templates::load(None).unwrap(), &fonts());
        let proved: HashSet<_> = proofs.iter().map(|proof| proof.template).collect();
        let listed: HashSet<_> = TEMPLATES.iter().map(|(name, _)| *name).filter(|name| !name.starts_with("partials/")).collect();
        assert_eq!(proved, listed);
        assert!(proofs.iter().all(|proof| proof.problem.is_none()), "{proofs:#?}");
    }

    #[test]
    fn a_template_that_names_an_unknown_value_fails() {
        let folder = tempfile::tempdir().unwrap();
        for (name, text) in TEMPLATES {
            let path = folder.path().join(format!("{name}.hbs"));
            std::fs::create_dir_all(path.parent().unwrap()).unwrap();
            let text = if *name == "mail/issued/subject" { "{{nowhere}}" } else { *text };
            std::fs::write(path, text).unwrap();
        }
        let error = check(&Templates::load(Some(folder.path())).unwrap(), &fonts()).unwrap_err().to_string();
        assert!(error.contains("mail/issued/subject") && error.contains("nowhere"), "{error}");
    }
}
