//! The structure tree that screen readers read, built over lopdf.
//!
//! It has standard structure types only, so no role map is needed. A paragraph that continues on the next
//! page is one element with content on two pages. Nodes without content are left out, except empty rows and
//! cells: every row of a table must fill its columns.

use std::collections::BTreeMap;

use lopdf::{Dictionary, Document, Object, ObjectId, dictionary};

use crate::display_list::{NodeId, Numbering, Scope, Tag, Tree};
use crate::metadata::text_string;

#[derive(Debug, Default)]
pub(crate) struct MarkedContent {
    /// For each page, the node of each marked-content number.
    pub(crate) pages: Vec<Vec<NodeId>>,
    /// Left, bottom, right and top of each figure, in PDF coordinates.
    pub(crate) figures: BTreeMap<NodeId, [f32; 4]>,
}

/// Adds the tree to a document and returns the id of its root.
pub(crate) fn add(
    document: &mut Document,
    pages: &[ObjectId],
    tree: &Tree,
    marked_content: &MarkedContent,
) -> ObjectId {
    let nodes = tree.nodes();
    let mut contents: Vec<Vec<(usize, i64)>> = vec![Vec::new(); nodes.len()];
    for (page, marked) in marked_content.pages.iter().enumerate() {
        for (number, node) in (0_i64..).zip(marked) {
            if let Some(content) = contents.get_mut(node.0 as usize) {
                content.push((page, number));
            }
        }
    }
    let is_kept = kept(tree, &contents);

    let root = document.new_object_id();
    let ids: Vec<Option<ObjectId>> =
        is_kept.iter().map(|kept| kept.then(|| document.new_object_id())).collect();
    let mut children: Vec<Vec<Object>> = vec![Vec::new(); nodes.len()];
    for (number, node) in nodes.iter().enumerate().skip(1) {
        if let Some(id) = ids[number] {
            children[node.parent.0 as usize].push(Object::Reference(id));
        }
    }
    for (number, node) in nodes.iter().enumerate() {
        let Some(id) = ids[number] else { continue };
        let parent = if number == 0 { root } else { ids[node.parent.0 as usize].unwrap_or(root) };
        let mut element = Dictionary::new();
        element.set("S", Object::Name(name(&node.tag).into()));
        element.set("P", Object::Reference(parent));
        let mut kids = std::mem::take(&mut children[number]);
        if let Some(&(first, _)) = contents[number].first() {
            element.set("Pg", Object::Reference(pages[first]));
            kids.extend(contents[number].iter().map(|&(page, mark)| {
                if page == first {
                    Object::Integer(mark)
                } else {
                    Object::Dictionary(dictionary! { "Type" => "MCR", "Pg" => Object::Reference(pages[page]), "MCID" => mark })
                }
            }));
        }
        if kids.len() == 1 {
            element.set("K", kids.swap_remove(0));
        } else if !kids.is_empty() {
            element.set("K", Object::Array(kids));
        }
        if let Tag::Figure { alternative } = &node.tag {
            element.set("Alt", text_string(alternative));
        }
        let bounds =
            u32::try_from(number).ok().and_then(|number| marked_content.figures.get(&NodeId(number)));
        if let Some(attributes) = attributes(&node.tag, bounds) {
            element.set("A", Object::Dictionary(attributes));
        }
        document.set_object(id, element);
    }

    let page_of = |marked: &Vec<NodeId>| {
        let owners = marked
            .iter()
            .map(|node| ids.get(node.0 as usize).copied().flatten().map_or(Object::Null, Object::Reference));
        Object::Array(owners.collect())
    };
    let numbers = (0_i64..)
        .zip(&marked_content.pages)
        .flat_map(|(page, marked)| [Object::Integer(page), page_of(marked)]);
    let parents = document.add_object(dictionary! { "Nums" => Object::Array(numbers.collect()) });
    let whole = ids.first().copied().flatten().map_or(Object::Null, Object::Reference);
    document.set_object(
        root,
        dictionary! {
            "Type" => "StructTreeRoot",
            "K" => whole,
            "ParentTree" => Object::Reference(parents),
            "ParentTreeNextKey" => i64::try_from(marked_content.pages.len()).unwrap_or(i64::MAX),
        },
    );
    root
}

/// The nodes that have content, or are rows and cells of a table that has content.
fn kept(tree: &Tree, contents: &[Vec<(usize, i64)>]) -> Vec<bool> {
    let nodes = tree.nodes();
    let mut kept: Vec<bool> = contents.iter().map(|content| !content.is_empty()).collect();
    for (number, node) in nodes.iter().enumerate().skip(1).rev() {
        if kept[number] {
            kept[node.parent.0 as usize] = true;
        }
    }
    // Parents precede their children, so a kept table keeps its rows, and these keep their cells.
    for (number, node) in nodes.iter().enumerate() {
        if matches!(node.tag, Tag::Row | Tag::Head { .. } | Tag::Cell { .. }) && kept[node.parent.0 as usize]
        {
            kept[number] = true;
        }
    }
    if let Some(whole) = kept.first_mut() {
        *whole = true;
    }
    kept
}

pub(crate) fn name(tag: &Tag) -> &'static str {
    match tag {
        Tag::Document => "Document",
        Tag::Division => "Div",
        Tag::Heading(1) => "H1",
        Tag::Heading(2) => "H2",
        Tag::Heading(3) => "H3",
        Tag::Heading(4) => "H4",
        Tag::Heading(5) => "H5",
        Tag::Heading(_) => "H6",
        Tag::Paragraph | Tag::Caption | Tag::Key => "P",
        Tag::List(_) => "L",
        Tag::Item => "LI",
        Tag::Label => "Lbl",
        Tag::Body => "LBody",
        Tag::Table => "Table",
        Tag::Row => "TR",
        Tag::Head { .. } => "TH",
        Tag::Cell { .. } => "TD",
        Tag::Figure { .. } => "Figure",
    }
}

fn attributes(tag: &Tag, bounds: Option<&[f32; 4]>) -> Option<Dictionary> {
    let spans = |mut attributes: Dictionary, columns: u16, rows: u16| {
        for (key, value) in [("ColSpan", columns), ("RowSpan", rows)] {
            if value > 1 {
                attributes.set(key, i64::from(value));
            }
        }
        attributes
    };
    Some(match *tag {
        Tag::List(numbering) => {
            let numbering = if numbering == Numbering::Dot { "Disc" } else { "Decimal" };
            dictionary! { "O" => "List", "ListNumbering" => numbering }
        }
        Tag::Head { scope, columns, rows } => {
            let scope = if scope == Scope::Row { "Row" } else { "Column" };
            spans(dictionary! { "O" => "Table", "Scope" => scope }, columns, rows)
        }
        Tag::Cell { columns, rows } if columns > 1 || rows > 1 => {
            spans(dictionary! { "O" => "Table" }, columns, rows)
        }
        Tag::Figure { .. } => {
            let mut attributes = dictionary! { "O" => "Layout", "Placement" => "Block" };
            if let Some(bounds) = bounds {
                attributes.set("BBox", bounds.map(Object::Real).to_vec());
            }
            attributes
        }
        _ => return None,
    })
}
