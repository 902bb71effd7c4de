//! The elements of the language and their attributes.
//!
//! `templates/README.md` describes each of them; a test compares the two.

use roxmltree::Node;

use super::error::error_at;
use crate::error::PdfError;

#[derive(Debug)]
pub(super) struct ElementSpec {
    pub(super) name: &'static str,
    pub(super) attributes: &'static [&'static str],
}

const fn element(name: &'static str, attributes: &'static [&'static str]) -> ElementSpec {
    ElementSpec { name, attributes }
}

/// Searched from the front, so the frequent ones come first.
pub(super) const ELEMENTS: &[ElementSpec] = &[
    element(
        "p",
        &["align", "indent", "inset", "tracking", "size", "face", "ink", "leading", "before", "keep"],
    ),
    element("value", &["align", "valign", "columns", "rows", "size", "face", "ink"]),
    element("label", &["align", "valign", "columns", "rows", "tracking", "spread", "size", "face", "ink"]),
    element("row", &["head"]),
    element("br", &[]),
    element("em", &[]),
    element("item", &[]),
    element("column", &[]),
    element("page", &["size", "margin", "text", "face", "leading"]),
    element("header", &["size", "align", "first"]),
    element("footer", &["size", "align"]),
    element("pages", &[]),
    element("heading", &["level", "align", "tracking", "size", "face", "ink", "leading", "before"]),
    element("caption", &["align", "inset", "size", "face", "ink", "leading", "before", "keep"]),
    element("list", &["marker", "start", "gap", "size", "face", "ink", "leading", "before"]),
    element("table", &["widths", "border", "padding", "size", "face", "ink", "leading", "before"]),
    element("box", &["border", "fill", "padding", "size", "face", "ink", "leading", "before"]),
    element("columns", &["widths", "gap", "size", "face", "ink", "leading", "before"]),
    element("rule", &["weight", "ink", "before"]),
    element("space", &["height"]),
    element("key", &["group", "size", "before"]),
    element("qr", &["data", "size", "align", "alt", "before"]),
    element("image", &["name", "alt", "width", "align", "overlap", "before"]),
];

pub(super) fn find(name: &str) -> Option<&'static ElementSpec> {
    ELEMENTS.iter().find(|spec| spec.name == name)
}

pub(super) fn spec_of(node: Node) -> Result<&'static ElementSpec, PdfError> {
    match node.tag_name().namespace() {
        None => find(node.tag_name().name()).ok_or_else(|| unknown(node)),
        Some(_) => Err(error_at(node, "namespaces are not allowed")),
    }
}

fn unknown(node: Node) -> PdfError {
    let name = node.tag_name().name();
    let hint = nearest(name, ELEMENTS.iter().map(|spec| spec.name))
        .map(|word| format!("; did you mean <{word}>?"))
        .unwrap_or_default();
    error_at(node, format!("unknown element <{name}>{hint}"))
}

/// Words of two letters are similar to anything.
pub(super) fn nearest<'a>(unknown: &str, known: impl Iterator<Item = &'a str>) -> Option<&'a str> {
    let likeness = |word: &'a str| (strsim::jaro_winkler(unknown, word), word);
    let like = known.map(likeness).filter(|(like, _)| *like > 0.8 && unknown.len() > 2);
    like.max_by(|one, other| one.0.total_cmp(&other.0)).map(|(_, word)| word)
}
