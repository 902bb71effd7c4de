//! Lists, checks and previews the templates of documents and mails.

use std::path::Path;

use serde::Serialize;

use super::Error;
use crate::{
    app,
    config::Config,
    documents::{
        catalog::Family,
        check::{self, Preview, TemplateCheck},
    },
};

/// Minimum similarity (Jaro-Winkler, 0 to 1) of a suggested name.
const SIMILAR: f64 = 0.7;

#[derive(Debug, Serialize)]
pub struct Listed {
    pub template: &'static str,
    pub becomes: &'static str,
    pub samples: Vec<&'static str>,
}

pub fn list() -> Vec<Listed> {
    let listed = |(family, template): (Family, _)| Listed {
        template,
        becomes: if family.is_document { "PDF" } else { "text" },
        samples: family.samples(template),
    };
    check::templates().map(listed).collect()
}

/// Renders every template with every sample.
pub fn check(config: &Config) -> Result<Vec<TemplateCheck>, Error> {
    Ok(check::check_all(&app::renderer(config)?))
}

/// A template and one of its samples.
pub struct Sample {
    family: Family,
    pub template: &'static str,
    name: &'static str,
}

/// A written preview; `pages` of a document.
#[derive(Debug, Serialize)]
pub struct Written {
    pub file: String,
    pub pages: Option<usize>,
    pub sample: &'static str,
    pub warnings: Vec<String>,
}

impl Sample {
    /// Finds a template by its name or the path of its file, and a sample or the first.
    pub fn find(template: &str, sample: Option<&str>) -> Result<Self, Error> {
        let name = template.strip_suffix(".hbs").unwrap_or(template);
        let name = name.strip_prefix("./").unwrap_or(name);
        let name = name.strip_prefix("templates/").unwrap_or(name);
        let (family, template) = known("template", name, check::templates(), |(_, template)| template)?;
        let mut samples = family.samples(template).into_iter();
        let name = match sample {
            None => samples.next().unwrap_or_default(),
            Some(sample) => known("sample", sample, samples, |sample| sample)?,
        };
        Ok(Self { family, template, name })
    }

    /// Whether it becomes a PDF; text otherwise.
    pub fn is_document(&self) -> bool {
        self.family.is_document
    }

    pub fn preview(&self, config: &Config) -> Result<Preview, Error> {
        let Self { family, template, name } = *self;
        check::preview(&app::renderer(config)?, family, template, name)
            .ok_or_else(|| Error::not_found(format!("{template} has no sample {name}")))?
            .map_err(|problem| Error::conflict(format!("{template} with sample {name}: {problem}")))
    }

    /// Writes or overwrites a file.
    pub fn write(&self, config: &Config, file: &Path) -> Result<Written, Error> {
        let Preview { bytes, pages, warnings } = self.preview(config)?;
        let name = file.display().to_string();
        std::fs::write(file, &bytes)
            .map_err(|error| Error::unavailable(error).context(format!("cannot write {name}")))?;
        Ok(Written { file: name, pages, sample: self.name, warnings })
    }
}

/// Finds an item by name; an error suggests the most similar name and lists all.
fn known<T: Copy>(
    kind: &str,
    typed: &str,
    items: impl Iterator<Item = T>,
    name: impl Fn(T) -> &'static str,
) -> Result<T, Error> {
    let items: Vec<_> = items.collect();
    if let Some(item) = items.iter().find(|item| name(**item) == typed) {
        return Ok(*item);
    }
    let names: Vec<_> = items.into_iter().map(name).collect();
    let similarities = names.iter().map(|name| (strsim::jaro_winkler(typed, name), name));
    let similar = similarities
        .filter(|(similarity, _)| *similarity >= SIMILAR)
        .max_by(|one, other| one.0.total_cmp(&other.0));
    let suggestion = similar.map(|(_, name)| format!("use \"{name}\", or ")).unwrap_or_default();
    Err(Error::not_found(format!("there is no {kind} {typed}"))
        .hint(format!("{suggestion}choose one of {}", names.join(", "))))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn problem<T>(result: Result<T, Error>) -> String {
        result.err().map(|error| error.to_string()).unwrap_or_default()
    }

    #[test]
    fn finds_templates_by_name_and_file() {
        for typed in [
            "notice/notice",
            "notice/notice.hbs",
            "templates/notice/notice.hbs",
            "./templates/notice/notice.hbs",
        ] {
            assert_eq!(Sample::find(typed, None).unwrap().template, "notice/notice", "{typed}");
        }
        let problem_of = |name| problem(Sample::find(name, None));
        let failure = problem_of("notice/notise");
        assert!(
            failure.contains("use \"notice/notice\", or") && failure.contains("mail/issued/subject"),
            "{failure}"
        );
        let failure = problem_of("partials/certificate_head");
        assert!(failure.contains("there is no template partials/certificate_head"), "{failure}");
    }

    #[test]
    fn finds_samples_by_name() {
        const TEMPLATE: &str = "certificate/performance";
        let sample = Sample::find(TEMPLATE, None).unwrap();
        let last = *sample.family.samples(TEMPLATE).last().unwrap();
        assert_eq!(Sample::find(TEMPLATE, Some(last)).unwrap().name, last);
        let failure = problem(Sample::find(TEMPLATE, Some(&last[..last.len() - 1])));
        assert!(failure.contains("use \"") && failure.contains(last), "{failure}");
    }

    #[test]
    fn overwrites_an_earlier_preview() {
        let config = Config::load(None, &[]).unwrap();
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("x.pdf");
        std::fs::write(&file, "an earlier preview").unwrap();
        let notice = Sample::find("notice/notice", None).unwrap();
        assert_eq!(notice.write(&config, &file).unwrap().pages, Some(1));
        let first = std::fs::read(&file).unwrap();
        assert!(first.starts_with(b"%PDF-"));
        let other = Sample::find("notice/notice", Some("notice-long")).unwrap();
        assert_eq!(other.write(&config, &file).unwrap().sample, "notice-long");
        assert_ne!(std::fs::read(&file).unwrap(), first);
        let body = Sample::find("mail/issued/body.txt", None).unwrap();
        assert_eq!(body.write(&config, &file).unwrap().pages, None);
        assert!(std::fs::read_to_string(&file).unwrap().contains("電子保証"));
        let missing = folder.path().join("none/x.pdf");
        assert!(problem(notice.write(&config, &missing)).contains("cannot write"));
    }
}
