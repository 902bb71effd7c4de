//! Renders every template with every sample that fits it.
//!
//! Runs at start, before any connection is opened, and in `hosho templates check`. It finds a template that
//! names a value which its context lacks, breaks the markup, or needs a glyph that no font has.
//!
//! Problems quote the line of the markup: samples are invented, so it is no secret. An error in production
//! has no quote.

use serde::Serialize;

pub use super::catalog::{Family, Rendered, documents, templates};

use crate::{
    documents::{renderer::DocumentRenderer, templates::TemplateError},
    fault::chain,
    pdf::{Fallback, Info, PdfError},
};

#[derive(Debug, Clone, Serialize)]
pub struct TemplateCheck {
    pub template: &'static str,
    pub sample: &'static str,
    /// `None` when the template is good.
    pub problem: Option<String>,
    pub pages: Option<usize>,
    /// Characters drawn by a fallback font.
    pub warnings: Vec<String>,
}

#[derive(Debug, thiserror::Error)]
#[error("{}", .0.iter().map(|check| format!("\n{} with sample {}: {}", check.template, check.sample, check.problem.as_deref().unwrap_or_default())).collect::<Vec<_>>().concat())]
pub struct TemplatesFailed(Vec<TemplateCheck>);

pub struct Preview {
    /// The PDF file, or the text.
    pub bytes: Vec<u8>,
    pub pages: Option<usize>,
    pub warnings: Vec<String>,
}

pub fn check_all(renderer: &DocumentRenderer) -> Vec<TemplateCheck> {
    let mut checks = Vec::new();
    for (family, template) in templates() {
        for (sample, output) in family.rendered(renderer.templates(), template) {
            let check = TemplateCheck { template, sample, problem: None, pages: None, warnings: Vec::new() };
            checks.push(match render(renderer, family, template, output) {
                Ok(Preview { pages, warnings, .. }) => TemplateCheck { pages, warnings, ..check },
                Err(problem) => TemplateCheck { problem: Some(problem), ..check },
            });
        }
    }
    checks
}

pub fn check(renderer: &DocumentRenderer) -> Result<(), TemplatesFailed> {
    let failed: Vec<TemplateCheck> =
        check_all(renderer).into_iter().filter(|check| check.problem.is_some()).collect();
    if failed.is_empty() { Ok(()) } else { Err(TemplatesFailed(failed)) }
}

/// Renders one template.
/// `None` when the family has no such sample; the error is the problem.
pub fn preview(
    renderer: &DocumentRenderer,
    family: Family,
    template: &str,
    sample: &str,
) -> Option<Result<Preview, String>> {
    let (_, output) =
        family.rendered(renderer.templates(), template).into_iter().find(|(name, _)| *name == sample)?;
    Some(render(renderer, family, template, output))
}

fn render(
    renderer: &DocumentRenderer,
    family: Family,
    template: &str,
    output: Result<String, TemplateError>,
) -> Result<Preview, String> {
    let text = output.map_err(|error| chain(&error))?;
    if !family.is_document {
        if text.trim().is_empty() {
            return Err("the output is empty".to_owned());
        }
        return Ok(Preview { bytes: text.into_bytes(), pages: None, warnings: Vec::new() });
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
    let quoted = |error: PdfError| match error.excerpt(&text) {
        None => chain(&error),
        Some(excerpt) => format!("{}\n{excerpt}", chain(&error)),
    };
    let bytes = renderer.draw_markup(template, &text, &about).map_err(quoted)?;
    let review = renderer.review(&text).map_err(quoted)?;
    let warning = |Fallback { character, face }: &Fallback| {
        format!("{character} (U+{:04X}) is drawn by {face}", u32::from(*character))
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

    fn renderer(folder: Option<&Path>) -> DocumentRenderer {
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
        renderer(Some(folder.path()))
    }

    #[test]
    fn checks_every_template() {
        let checks = check_all(&renderer(None));
        let checked: HashSet<_> = checks.iter().map(|check| check.template).collect();
        let listed: HashSet<_> =
            TEMPLATES.iter().map(|(name, _)| *name).filter(|name| !name.starts_with("partials/")).collect();
        assert_eq!(checked, listed);
        assert!(checks.iter().all(|check| check.problem.is_none()), "{checks:#?}");
    }

    #[test]
    fn counts_pages_and_names_fallback_glyphs() {
        let checks = check_all(&renderer(None));
        let notices: Vec<_> = checks.iter().filter(|check| check.template == "notice/notice").collect();
        assert!(notices.iter().all(|check| check.pages == Some(1)), "{notices:#?}");
        let expected = "𠮷 (U+20BB7) is drawn by VL-Gothic-Regular".to_owned();
        assert!(notices.iter().any(|check| check.warnings.contains(&expected)), "{notices:#?}");
        assert!(notices.iter().any(|check| check.warnings.is_empty()), "{notices:#?}");
        let mail = checks.iter().find(|check| check.template == "mail/issued/subject").unwrap();
        assert_eq!((mail.pages, mail.warnings.len()), (None, 0));
    }

    #[test]
    fn problems_name_their_place() {
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
            let renderer = changed(name, |_| change.to_owned());
            let (family, template) = templates().find(|(_, template)| *template == drawn).unwrap();
            let problem =
                preview(&renderer, family, template, family.samples(template)[0]).unwrap().err().unwrap();
            for part in expected {
                assert!(problem.contains(part), "{part}: {problem}");
            }
        }
    }

    #[test]
    fn rejects_a_template_with_an_unknown_value() {
        let error =
            check(&changed("mail/issued/subject", |_| "{{nowhere}}".to_owned())).unwrap_err().to_string();
        assert!(error.starts_with("\nmail/issued/subject with sample "), "{error}");
        let lines = error.lines().skip(1);
        assert!(
            lines.clone().count() > 1 && lines.clone().all(|line| line.contains(" with sample ")),
            "{error}"
        );
        assert!(
            error
                .contains("template mail/issued/subject, line 1, column 1: the context has no value nowhere"),
            "{error}"
        );
    }

    #[test]
    fn previews_one_template() {
        let renderer = renderer(None);
        let (family, template) = templates().find(|(_, template)| *template == "notice/notice").unwrap();
        let preview = preview(&renderer, family, template, family.samples(template)[1]).unwrap().unwrap();
        assert!(preview.bytes.starts_with(b"%PDF-") && preview.pages == Some(1));
        assert!(super::preview(&renderer, family, template, "no-sample").is_none());
    }
}
