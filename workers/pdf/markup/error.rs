use roxmltree::Node;

use crate::error::PdfError;

/// `problem` must not repeat text of the document: it may be personal.
pub(super) fn error_at(node: Node, problem: impl Into<String>) -> PdfError {
    let at = node.document().text_pos_at(node.range().start);
    PdfError::Markup { line: at.row, column: at.col, problem: problem.into() }
}

/// Most levels of nested blocks, and of nested `<em>`.
const MAX_DEPTH: usize = 12;

/// Fails if elements are nested too deep: each level is a recursive call.
pub(super) fn check_depth(node: Node, depth: usize) -> Result<(), PdfError> {
    if depth > MAX_DEPTH {
        return Err(error_at(node, format!("elements are nested more than {MAX_DEPTH} deep")));
    }
    Ok(())
}
