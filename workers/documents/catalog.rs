//! The one list of contexts and their templates.

use crate::documents::{
    cancellation::CancellationContext,
    certificate::CertificateContext,
    issue_mail::MailContext,
    notice::NoticeContext,
    templates::{TemplateContext, TemplateError, Templates},
};

/// The output of a template for each of its samples, by name.
pub type Rendered = Vec<(&'static str, Result<String, TemplateError>)>;

/// Templates that share a context, and so its samples.
#[derive(Clone, Copy)]
pub struct Family {
    pub templates: &'static [&'static str],
    /// Whether they render to the markup of a document; to text otherwise.
    pub is_document: bool,
    samples: fn(&str) -> Vec<&'static str>,
    rendered: fn(&Templates, &str) -> Rendered,
}

const FAMILIES: [Family; 4] = [
    Family::of::<NoticeContext>(true),
    Family::of::<CertificateContext>(true),
    Family::of::<CancellationContext>(true),
    Family::of::<MailContext>(false),
];

impl Family {
    const fn of<C: TemplateContext>(is_document: bool) -> Self {
        Self { templates: C::TEMPLATES, is_document, samples: samples::<C>, rendered: rendered::<C> }
    }

    /// Names of the samples that fit a template; the first is the plainest.
    pub fn samples(&self, template: &str) -> Vec<&'static str> {
        (self.samples)(template)
    }

    /// Renders a template with each sample that fits it.
    pub fn rendered(&self, templates: &Templates, template: &str) -> Rendered {
        (self.rendered)(templates, template)
    }
}

fn fitting<C: TemplateContext>(template: &str) -> impl Iterator<Item = (&'static str, C)> {
    C::samples().into_iter().filter(move |(_, context)| context.fits(template))
}

fn samples<C: TemplateContext>(template: &str) -> Vec<&'static str> {
    fitting::<C>(template).map(|(name, _)| name).collect()
}

fn rendered<C: TemplateContext>(templates: &Templates, template: &str) -> Rendered {
    fitting::<C>(template).map(|(name, context)| (name, templates.render(template, &context))).collect()
}

/// Every template except the partials, with its family.
pub fn templates() -> impl Iterator<Item = (Family, &'static str)> {
    FAMILIES.into_iter().flat_map(|family| family.templates.iter().map(move |template| (family, *template)))
}

pub fn documents() -> impl Iterator<Item = (Family, &'static str)> {
    templates().filter(|(family, _)| family.is_document)
}
