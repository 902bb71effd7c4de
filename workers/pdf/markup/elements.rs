//! The one list of elements and their attributes. `templates/README.md` describes each; a test compares the two.

use roxmltree::Node;

use super::attributes::refused;
use crate::PdfError;

/// An element of the language.
#[derive(Debug)]
pub(super) struct Form {
    /// Its name.
    pub(super) name: &'static str,
    /// The attributes it takes.
    pub(super) attributes: &'static [&'static str],
}

const fn form(name: &'static str, attributes: &'static [&'static str]) -> Form {
    Form { name, attributes }
}

/// Every element, the frequent ones first: names are looked up from the front.
pub(super) const ELEMENTS: &[Form] = &[
    form("p", &["align", "indent", "inset", "tracking", "size", "face", "ink", "leading", "before", "keep"]),
    form("value", &["align", "valign", "columns", "rows", "size", "face", "ink"]),
    form("label", &["align", "valign", "columns", "rows", "tracking", "spread", "size", "face", "ink"]),
    form("row", &["head"]),
    form("br", &[]),
    form("em", &[]),
    form("item", &[]),
    form("column", &[]),
    form("page", &["size", "margin", "text", "face", "leading"]),
    form("header", &["size", "align", "first"]),
    form("footer", &["size", "align"]),
    form("pages", &[]),
    form("heading", &["level", "align", "tracking", "size", "face", "ink", "leading", "before"]),
    form("caption", &["align", "inset", "size", "face", "ink", "leading", "before", "keep"]),
    form("list", &["marker", "start", "gap", "size", "face", "ink", "leading", "before"]),
    form("table", &["widths", "border", "padding", "size", "face", "ink", "leading", "before"]),
    form("box", &["border", "fill", "padding", "size", "face", "ink", "leading", "before"]),
    form("columns", &["widths", "gap", "size", "face", "ink", "leading", "before"]),
    form("rule", &["weight", "ink", "before"]),
    form("space", &["height"]),
    form("key", &["group", "size", "before"]),
    form("qr", &["data", "size", "align", "alt", "before"]),
    form("image", &["name", "alt", "width", "align", "overlap", "before"]),
];

/// The element of a name.
pub(super) fn find(name: &str) -> Option<&'static Form> {
    ELEMENTS.iter().find(|form| form.name == name)
}

/// The element a node is; those of other languages are none of ours.
pub(super) fn of(node: Node) -> Result<&'static Form, PdfError> {
    match node.tag_name().namespace() {
        None => find(node.tag_name().name()).ok_or_else(|| unknown(node)),
        Some(_) => Err(refused(node, "an element of another namespace: markup has none".to_owned())),
    }
}

/// Says that there is no such element, and which one may have been meant.
fn unknown(node: Node) -> PdfError {
    let name = node.tag_name().name();
    let hint = nearest(name, ELEMENTS.iter().map(|form| form.name))
        .map(|word| format!("; did you mean <{word}>?"))
        .unwrap_or_default();
    refused(node, format!("unknown element <{name}>{hint}"))
}

/// The known word that is most like an unknown one; two letters are like anything.
pub(super) fn nearest<'a>(unknown: &str, known: impl Iterator<Item = &'a str>) -> Option<&'a str> {
    let likeness = |word: &'a str| (strsim::jaro_winkler(unknown, word), word);
    let like = known.map(likeness).filter(|(like, _)| *like > 0.8 && unknown.len() > 2);
    like.max_by(|one, other| one.0.total_cmp(&other.0)).map(|(_, word)| word)
}
