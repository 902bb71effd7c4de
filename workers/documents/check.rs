//! Proofs (校正刷り): every template rendered with every sample that fits it, and drawn where it becomes a document.
//!
//! Run at start, before anything is opened, and by `hosho templates check`. A template that names a value its context
//! lacks, breaks the markup, or needs a glyph no font has, is found here and not by a contractor.
//!
//! What is wrong is told with the line of the markup it stands in: samples are invented, so here that is no secret.
//! An error of a document in production has no such line.

use serde::Serialize;

pub use super::catalog::{Family, Rendered, documents, templates};

use crate::{
    documents::{renderer::DocumentRenderer, templates::TemplateError},
    fault::chain,
    pdf::{Info, PdfError},
};

/// One template with one sample.
#[derive(Debug, Clone, Serialize)]
pub struct TemplateCheck {
    /// Name of the template.
    pub template: &'static str,
    /// Name of the sample.
    pub sample: &'static str,
    /// What is wrong; nothing when it is good.
    pub problem: Option<String>,
    /// Pages of a document that could be drawn.
    pub pages: Option<usize>,
    /// What is not wrong, but may not be meant.
    pub warnings: Vec<String>,
}

/// Says which proofs failed.
#[derive(Debug, thiserror::Error)]
#[error("{}", .0.iter().map(|proof| format!("{} with sample {}: {}", proof.template, proof.sample, proof.problem.as_deref().unwrap_or_default())).collect::<Vec<_>>().join("; "))]
pub struct Failed(Vec<TemplateCheck>);

/// What a template becomes with a sample.
pub struct Preview {
    /// The PDF file, or the text.
    pub bytes: Vec<u8>,
    /// Pages of a document.
    pub pages: Option<usize>,
    /// What is not wrong, but may not be meant.
    pub warnings: Vec<String>,
}

/// Makes every proof.
pub fn all(press: &DocumentRenderer) -> Vec<TemplateCheck> {
    let mut proofs = Vec::new();
    for (family, template) in templates() {
        for (sample, rendered) in family.rendered(press.templates(), template) {
            let proof = TemplateCheck { template, sample, problem: None, pages: None, warnings: Vec::new() };
            proofs.push(match pulled(press, family, template, rendered) {
                Ok(Preview { pages, warnings, .. }) => TemplateCheck { pages, warnings, ..proof },
                Err(problem) => TemplateCheck { problem: Some(problem), ..proof },
            });
        }
    }
    proofs
}

/// Fails unless every proof is good.
pub fn check(press: &DocumentRenderer) -> Result<(), Failed> {
    let failed: Vec<TemplateCheck> = all(press).into_iter().filter(|proof| proof.problem.is_some()).collect();
    if failed.is_empty() { Ok(()) } else { Err(Failed(failed)) }
}

/// Makes one, to be looked at. Nothing when the family has no such sample; the error says what is wrong.
pub fn pull(
    press: &DocumentRenderer,
    family: Family,
    template: &str,
    sample: &str,
) -> Option<Result<Preview, String>> {
    let (_, rendered) =
        family.rendered(press.templates(), template).into_iter().find(|(name, _)| *name == sample)?;
    Some(pulled(press, family, template, rendered))
}

fn pulled(
    press: &DocumentRenderer,
    family: Family,
    template: &str,
    rendered: Result<String, TemplateError>,
) -> Result<Preview, String> {
    let text = rendered.map_err(|error| chain(&error))?;
    if !family.is_document {
        return if text.trim().is_empty() {
            Err("nothing is left of it".to_owned())
        } else {
            Ok(Preview { bytes: text.into_bytes(), pages: None, warnings: Vec::new() })
        };
    }
    let about = Info {
        title: template.to_owned(),
        author: String::new(),
        subject: String::new(),
        created: chrono::NaiveDateTime::default(),
        number: String::new(),
        revision: 0,
        attachment: None,
    };
    let told = |error: PdfError| match error.excerpt(&text) {
        None => chain(&error),
        Some(excerpt) => format!("{}\n{excerpt}", chain(&error)),
    };
    let bytes = press.draw_markup(template, &text, &about).map_err(told)?;
    let review = press.review(&text).map_err(told)?;
    let warning = |fallback: &crate::pdf::Fallback| {
        format!(
            "{} (U+{:04X}) is drawn by {}",
            fallback.character,
            u32::from(fallback.character),
            fallback.face
        )
    };
    Ok(Preview { bytes, pages: Some(review.pages), warnings: review.fallbacks.iter().map(warning).collect() })
}

#[cfg(test)]
mod tests {
    use std::{
        collections::HashSet,
        path::Path,
        sync::{Arc, OnceLock},
    };

    use super::*;
    use crate::{
        documents::templates::{TEMPLATES, Templates},
        pdf::{FontPaths, Fonts, Pictures},
    };

    fn press(folder: Option<&Path>) -> DocumentRenderer {
        static FONTS: OnceLock<Arc<Fonts>> = OnceLock::new();
        let fonts = FONTS.get_or_init(|| Arc::new(Fonts::load(&FontPaths::system().unwrap()).unwrap()));
        DocumentRenderer::new(Arc::new(Templates::load(folder).unwrap()), Arc::clone(fonts), Pictures::new())
    }

    /// Templates as they are, one of them changed.
    fn changed(name: &str, change: impl Fn(&str) -> String) -> DocumentRenderer {
        let folder = tempfile::tempdir().unwrap();
        for (other, text) in TEMPLATES {
            let path = folder.path().join(format!("{other}.hbs"));
            std::fs::create_dir_all(path.parent().unwrap()).unwrap();
            std::fs::write(path, if *other == name { change(text) } else { (*text).to_owned() }).unwrap();
        }
        press(Some(folder.path()))
    }

    #[test]
    fn every_template_is_proved() {
        let proofs = all(&press(None));
        let proved: HashSet<_> = proofs.iter().map(|proof| proof.template).collect();
        let listed: HashSet<_> =
            TEMPLATES.iter().map(|(name, _)| *name).filter(|name| !name.starts_with("partials/")).collect();
        assert_eq!(proved, listed);
        assert!(proofs.iter().all(|proof| proof.problem.is_none()), "{proofs:#?}");
    }

    #[test]
    fn pages_are_counted_and_borrowed_glyphs_named() {
        let proofs = all(&press(None));
        let notices: Vec<_> = proofs.iter().filter(|proof| proof.template == "notice/notice").collect();
        assert!(notices.iter().all(|proof| proof.pages == Some(1)), "{notices:#?}");
        let expected = "𠮷 (U+20BB7) is drawn by VL-Gothic-Regular".to_owned();
        assert!(notices.iter().any(|proof| proof.warnings.contains(&expected)), "{notices:#?}");
        assert!(notices.iter().any(|proof| proof.warnings.is_empty()), "{notices:#?}");
        let mail = proofs.iter().find(|proof| proof.template == "mail/issued/subject").unwrap();
        assert_eq!((mail.pages, mail.warnings.len()), (None, 0));
    }

    #[test]
    fn what_is_wrong_is_told_with_its_place() {
        const NOTICE: &str = "notice/notice";
        for (name, change, drawn, expected) in [
            (
                "partials/certificate_head",
                "\n<p>{{nowhere}}</p>",
                "certificate/performance",
                &["template partials/certificate_head, line 2, column 4: the context has no value nowhere"][..],
            ),
            (
                NOTICE,
                "<page>\n  <p colour=\"red\">{{number}}</p></page>",
                NOTICE,
                &["line 2, column 3", "no attribute colour", "line 2: <p colour=\"red\">31"],
            ),
            (NOTICE, "<page>\n  <p>甲\u{10FFFD}</p></page>", NOTICE, &["U+10FFFD", "line 2: <p>甲"]),
            (
                NOTICE,
                "<page><p>甲</p>\n <space height=\"300mm\"/></page>",
                NOTICE,
                &["line 2, column 2", "taller than the page", "line 2: <space height"],
            ),
            (NOTICE, "<page><p>甲</page>", NOTICE, &["not well-formed", "line 1: <page><p>甲"]),
        ] {
            let press = changed(name, |_| change.to_owned());
            let (family, template) = templates().find(|(_, template)| *template == drawn).unwrap();
            let problem = pull(&press, family, template, family.samples(template)[0]).unwrap().err().unwrap();
            for part in expected {
                assert!(problem.contains(part), "{part}: {problem}");
            }
        }
    }

    #[test]
    fn a_template_that_names_an_unknown_value_fails() {
        let error =
            check(&changed("mail/issued/subject", |_| "{{nowhere}}".to_owned())).unwrap_err().to_string();
        assert!(error.starts_with("mail/issued/subject with sample "), "{error}");
        assert!(
            error
                .contains("template mail/issued/subject, line 1, column 1: the context has no value nowhere"),
            "{error}"
        );
    }

    #[test]
    fn one_is_pulled_to_be_looked_at() {
        let press = press(None);
        let (family, template) = templates().find(|(_, template)| *template == "notice/notice").unwrap();
        let pull = pull(&press, family, template, family.samples(template)[1]).unwrap().unwrap();
        assert!(pull.bytes.starts_with(b"%PDF-") && pull.pages == Some(1));
        assert!(super::pull(&press, family, template, "nobody").is_none());
    }
}
