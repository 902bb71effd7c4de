//! Handlebars templates, strict, embedded in the binary or from a folder.
//! No other module names handlebars.
//!
//! A template is named by its path under `templates/` without `.hbs`, such as `mail/issued/body.html`.
//! [`TEMPLATES`] is the one list. Text templates (`subject`, `body.txt`) are not escaped; every other output
//! is HTML/XML-escaped, so that `<b>` or `{{ }}` in a name is printed, never interpreted: a context's values
//! are data and are not compiled.
//!
//! A value that a template names and the context lacks is an error (strict mode), found by `hosho templates
//! check` and by [`Templates::load`]'s callers before anything is opened.

use std::path::Path;

use handlebars::{Handlebars, RenderError, RenderErrorReason};
use serde::Serialize;
use sha2::{Digest, Sha256};

/// The typed value a set of templates is rendered with.
pub trait TemplateContext: Serialize + Sized {
    const TEMPLATES: &'static [&'static str];

    /// Named examples, each rendered with every template that it fits.
    /// Tests, `templates check` and every start do so.
    fn samples() -> Vec<(&'static str, Self)>;

    /// Whether the value is one for this template of [`Self::TEMPLATES`].
    fn fits(&self, _template: &str) -> bool {
        true
    }
}

macro_rules! embedded {
    ($($name:literal),* $(,)?) => {
        &[$(($name, include_str!(concat!("../../templates/", $name, ".hbs")))),*]
    };
}

/// Every template, with the text built into the binary.
/// A test compares the list with `templates/`.
pub const TEMPLATES: &[(&str, &str)] = embedded![
    "cancellation/cancellation",
    "certificate/advance_payment",
    "certificate/interim_advance_payment",
    "certificate/performance",
    "mail/issued/body.html",
    "mail/issued/body.txt",
    "mail/issued/subject",
    "notice/notice",
    "partials/branch",
    "partials/certificate_head",
    "partials/certificate_members",
    "partials/certificate_notes",
    "partials/certificate_parties",
    "partials/certificate_works",
    "partials/issuer",
];

#[derive(Debug, thiserror::Error)]
pub enum TemplateError {
    #[error("cannot read template {name} from the template folder")]
    Read { name: &'static str, source: std::io::Error },
    #[error("template {name} does not parse")]
    Parse { name: &'static str, source: Box<handlebars::TemplateError> },
    /// The template, or a partial of it, names a value that the context lacks.
    #[error("template {name}, line {line}, column {column}: the context has no value {value}")]
    Missing {
        name: String,
        /// Line, from 1.
        line: usize,
        /// Column, from 1.
        column: usize,
        value: String,
    },
    /// A helper fails, or a partial does not exist.
    #[error("template {name} does not render")]
    Render { name: String, source: Box<handlebars::RenderError> },
}

pub struct Templates {
    escaped: Handlebars<'static>,
    plain: Handlebars<'static>,
    sha256: String,
}

impl Templates {
    /// Parses all templates: those built in, or those of `folder`.
    pub fn load(folder: Option<&Path>) -> Result<Self, TemplateError> {
        let mut templates = Self { escaped: registry(), plain: registry(), sha256: String::new() };
        let mut hash = Sha256::new();
        templates.plain.register_escape_fn(handlebars::no_escape);
        for &(name, embedded) in TEMPLATES {
            let text = match folder {
                None => embedded.to_owned(),
                Some(folder) => std::fs::read_to_string(folder.join(format!("{name}.hbs")))
                    .map_err(|source| TemplateError::Read { name, source })?,
            };
            hash.update(format!("{name} {}\n{text}", text.len()));
            for registry in [&mut templates.escaped, &mut templates.plain] {
                registry
                    .register_template_string(name, &text)
                    .map_err(|source| TemplateError::Parse { name, source: Box::new(source) })?;
            }
        }
        templates.sha256 = hex::encode(hash.finalize());
        Ok(templates)
    }

    /// Identity of all templates together: 64 hexadecimal digits.
    pub fn sha256(&self) -> &str {
        &self.sha256
    }

    pub fn render(&self, name: &str, context: &impl Serialize) -> Result<String, TemplateError> {
        let registry = if is_plain(name) { &self.plain } else { &self.escaped };
        registry.render(name, context).map_err(|source| render_error(name, source))
    }
}

/// A missing value is the most frequent error and gets an error of its own.
fn render_error(name: &str, source: RenderError) -> TemplateError {
    let RenderErrorReason::MissingVariable(Some(value)) = source.reason() else {
        return TemplateError::Render { name: name.to_owned(), source: Box::new(source) };
    };
    TemplateError::Missing {
        name: source.template_name.clone().unwrap_or_else(|| name.to_owned()),
        line: source.line_no.unwrap_or(1),
        column: source.column_no.unwrap_or(1),
        value: value.clone(),
    }
}

fn registry() -> Handlebars<'static> {
    let mut registry = Handlebars::new();
    registry.set_strict_mode(true);
    registry
}

fn is_plain(name: &str) -> bool {
    matches!(name.rsplit('/').next(), Some("subject" | "body.txt"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn list_matches_the_folder() {
        fn walk(folder: &Path, found: &mut Vec<String>) {
            for entry in std::fs::read_dir(folder).unwrap() {
                let path = entry.unwrap().path();
                if path.is_dir() {
                    walk(&path, found);
                } else if path.extension().is_some_and(|extension| extension == "hbs") {
                    found.push(path.with_extension("").to_string_lossy().replace('\\', "/"));
                }
            }
        }
        let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("templates");
        let mut found = Vec::new();
        walk(&root, &mut found);
        let mut found: Vec<_> = found
            .iter()
            .map(|path| path.strip_prefix(&format!("{}/", root.display())).unwrap().to_owned())
            .collect();
        found.sort();
        let mut listed: Vec<_> = TEMPLATES.iter().map(|(name, _)| (*name).to_owned()).collect();
        listed.sort();
        assert_eq!(found, listed);
    }
}
