//! 6.7: what the file is to somebody who hears it.

use std::collections::{BTreeMap, BTreeSet};

use lopdf::{Dictionary, Object, ObjectId};

use super::content::Shown;
use super::{File, Report, dictionary};

/// Structure types of ISO 32000-1, 14.8.4.
const TYPES: &str = "Document Part Art Sect Div BlockQuote Caption TOC TOCI Index NonStruct Private P H H1 H2 H3 H4 H5 H6 L LI Lbl LBody \
                     Table TR TH TD THead TBody TFoot Span Quote Note Reference BibEntry Code Link Annot Figure Formula Form";

/// An element of the structure.
struct Element<'f> {
    id: ObjectId,
    kind: String,
    about: &'f Dictionary,
    children: Vec<Element<'f>>,
    /// Page and number of the content that is its own.
    content: Vec<(usize, i64)>,
}

pub(super) fn check(file: &File, shown: &Shown, report: &mut Report) {
    let catalog = file.catalog();
    let marked = file
        .dictionary(catalog, "MarkInfo")
        .and_then(|mark| file.value(mark, "Marked"))
        .is_some_and(|one| matches!(one, Object::Boolean(true)));
    report.expect(marked, "6.7.2.2-1", "the file does not say that it is marked");
    let suspects = file.dictionary(catalog, "MarkInfo").is_some_and(|mark| mark.has(b"Suspects"));
    report.expect(!suspects, "6.7.2.2", "the file calls its own structure suspect");
    let language = file.text(catalog, "Lang").unwrap_or_default();
    report.expect(language == "ja" || language == "ja-JP", "6.7.4-1", "the file is not called Japanese");
    let preferences =
        file.dictionary(catalog, "ViewerPreferences").and_then(|all| file.value(all, "DisplayDocTitle"));
    report.expect(
        preferences.is_some_and(|shown| matches!(shown, Object::Boolean(true))),
        "7.18.1",
        "a window does not show the title",
    );
    let Some(root) = file.dictionary(catalog, "StructTreeRoot") else {
        return report.tell("6.7.3.3-1", "there is no structure");
    };
    report.expect(
        root.has_type(b"StructTreeRoot"),
        "6.7.3.3-1",
        "the root of the structure does not say that it is one",
    );
    report.expect(!root.has(b"RoleMap"), "6.7.3.4-2", "types are mapped, which nothing checks");

    let mut pages = BTreeMap::new();
    for (number, id) in file.document.page_iter().enumerate() {
        pages.insert(id, number);
        let page = file.document.get_dictionary(id).ok();
        report.expect(
            page.is_some_and(|page| file.name(page, "Tabs") == Some("S")),
            "6.7.3",
            "a page is not walked in the order of the structure",
        );
    }
    let mut reader = Reader { file, pages: &pages, seen: BTreeSet::new() };
    let root_id = catalog.get(b"StructTreeRoot").and_then(Object::as_reference).ok();
    let elements = reader.children(root, root_id, None, report);
    report.expect(
        elements.len() == 1 && elements[0].kind == "Document",
        "14.8.4.2",
        "the structure is not one document",
    );
    for element in &elements {
        element.check(file, "", report);
    }
    contents(file, shown, &elements, root, report);
    headings(&elements, report);
}

struct Reader<'f> {
    file: &'f File<'f>,
    pages: &'f BTreeMap<ObjectId, usize>,
    seen: BTreeSet<ObjectId>,
}

impl<'f> Reader<'f> {
    /// The elements below an element or the root.
    fn children(
        &mut self,
        about: &'f Dictionary,
        id: Option<ObjectId>,
        page: Option<usize>,
        report: &mut Report,
    ) -> Vec<Element<'f>> {
        let file = self.file;
        let kids: Vec<ObjectId> = match about.get(b"K") {
            Ok(Object::Reference(kid)) => vec![*kid],
            Ok(Object::Array(kids)) => kids.iter().filter_map(|kid| kid.as_reference().ok()).collect(),
            _ => Vec::new(),
        };
        let mut children = Vec::new();
        for kid in kids {
            if !self.seen.insert(kid) {
                report.tell("14.7.2", "an element stands in the structure twice");
                continue;
            }
            let Ok(child) = file.document.get_dictionary(kid) else {
                report.tell("14.7.2", "an element of the structure is not there");
                continue;
            };
            let parent = child.get(b"P").and_then(Object::as_reference).ok();
            report.expect(parent.is_some() && parent == id, "14.7.2", "an element does not know its parent");
            let own = child
                .get(b"Pg")
                .and_then(Object::as_reference)
                .ok()
                .and_then(|page| self.pages.get(&page).copied());
            let page = own.or(page);
            let kind = file.name(child, "S").unwrap_or_default().to_owned();
            report.expect(
                TYPES.split_whitespace().any(|known| known == kind),
                "6.7.3.4-1",
                &format!("{kind:?} is no type of structure"),
            );
            let content = self.content(child, page, report);
            let below = self.children(child, Some(kid), page, report);
            children.push(Element { id: kid, kind, about: child, children: below, content });
        }
        children
    }

    /// The marked content of an element.
    fn content(&self, about: &Dictionary, page: Option<usize>, report: &mut Report) -> Vec<(usize, i64)> {
        let mut content = Vec::new();
        for kid in self.file.list(about, "K") {
            let found = match kid {
                Object::Integer(number) => page.map(|page| (page, *number)),
                Object::Dictionary(reference) if reference.has_type(b"MCR") => {
                    let page = reference
                        .get(b"Pg")
                        .and_then(Object::as_reference)
                        .ok()
                        .and_then(|page| self.pages.get(&page).copied());
                    page.zip(self.file.integer(reference, "MCID"))
                }
                _ => continue,
            };
            match found {
                Some(found) => content.push(found),
                None => report.tell("14.7.4.2", "content of an element is on no page"),
            }
        }
        content
    }
}

impl Element<'_> {
    fn check(&self, file: &File, parent: &str, report: &mut Report) {
        let kinds: Vec<&str> = self.children.iter().map(|child| child.kind.as_str()).collect();
        let only =
            |allowed: &[&str]| kinds.iter().all(|kind| allowed.contains(kind)) && self.content.is_empty();
        match self.kind.as_str() {
            "Document" | "Div" | "Sect" | "Part" => {
                report.expect(
                    self.content.is_empty(),
                    "14.8.4.2",
                    "a group holds content that is in no block",
                );
                report.expect(!self.children.is_empty(), "14.8.4.2", "a group is empty");
            }
            "Table" => self.table(file, report),
            "TR" => {
                report.expect(only(&["TH", "TD"]), "14.8.4.3.4", "a row holds something else than cells");
                report.expect(
                    matches!(parent, "Table" | "THead" | "TBody" | "TFoot"),
                    "14.8.4.3.4",
                    "a row is in no table",
                );
            }
            "TH" => {
                let scope = attributes(file, self.about, "Table").and_then(|own| file.name(own, "Scope"));
                report.expect(
                    matches!(scope, Some("Row" | "Column" | "Both")),
                    "14.8.5.7",
                    "a head cell does not say what it heads",
                );
                report.expect(parent == "TR", "14.8.4.3.4", "a cell is in no row");
            }
            "TD" => report.expect(parent == "TR", "14.8.4.3.4", "a cell is in no row"),
            "L" => {
                report.expect(
                    only(&["LI", "L", "Caption"]) && kinds.contains(&"LI"),
                    "14.8.4.3.3",
                    "a list holds something else than items",
                );
                let numbering =
                    attributes(file, self.about, "List").and_then(|own| file.name(own, "ListNumbering"));
                report.expect(numbering.is_some(), "14.8.5.5", "a list does not say how it is numbered");
            }
            "LI" => {
                report.expect(parent == "L", "14.8.4.3.3", "an item is in no list");
                report.expect(
                    kinds == ["Lbl", "LBody"] && self.content.is_empty(),
                    "14.8.4.3.3",
                    "an item is not a label and a body",
                );
            }
            "Lbl" | "LBody" => report.expect(parent == "LI", "14.8.4.3.3", "a label or body is in no item"),
            "Figure" => {
                let alternative = file.text(self.about, "Alt").is_some_and(|text| !text.trim().is_empty());
                report.expect(alternative, "6.7.5", "a picture is not described");
                let edges: Vec<f32> = attributes(file, self.about, "Layout")
                    .map(|own| {
                        file.list(own, "BBox").iter().filter_map(|edge| edge.as_float().ok()).collect()
                    })
                    .unwrap_or_default();
                let ordered = edges.len() == 4 && edges[0] < edges[2] && edges[1] < edges[3];
                report.expect(ordered, "14.8.5.4.3", "a picture does not say where it is");
                report.expect(!self.content.is_empty(), "14.8.4.5", "a picture shows nothing");
            }
            "P" | "H1" | "H2" | "H3" | "H4" | "H5" | "H6" => {
                let within = kinds.iter().all(|kind| {
                    matches!(
                        *kind,
                        "Span" | "Quote" | "Note" | "Reference" | "Code" | "Link" | "Figure" | "Formula"
                    )
                });
                report.expect(within, "14.8.4.3.2", "a paragraph holds a block");
                let empty = self.content.is_empty() && self.children.is_empty();
                report.expect(!empty, "14.8.4.3.2", "a paragraph is empty");
            }
            _ => {}
        }
        let replaced = ["ActualText", "E", "Lang"].iter().any(|key| self.about.has(key.as_bytes()));
        report.expect(!replaced, "6.7.7", "text is replaced, which nothing compares");
        for child in &self.children {
            child.check(file, &self.kind, report);
        }
    }

    /// Rows, with those of groups of rows.
    fn rows(&self) -> Vec<&Element<'_>> {
        let grouped = |child: &Element| matches!(child.kind.as_str(), "THead" | "TBody" | "TFoot");
        self.children
            .iter()
            .flat_map(|child| if grouped(child) { child.rows() } else { vec![child] })
            .collect()
    }

    /// Every place of the grid is taken by one cell.
    fn table(&self, file: &File, report: &mut Report) {
        let rows: Vec<&Element> = self.rows().into_iter().filter(|row| row.kind != "Caption").collect();
        report.expect(
            !rows.is_empty() && rows.iter().all(|row| row.kind == "TR"),
            "14.8.4.3.4",
            "a table holds something else than rows",
        );
        let mut taken: BTreeSet<(usize, usize)> = BTreeSet::new();
        for (row, element) in rows.iter().enumerate() {
            let mut column = 0;
            for cell in &element.children {
                while taken.contains(&(row, column)) {
                    column += 1;
                }
                let own = attributes(file, cell.about, "Table");
                let span = |key| {
                    own.and_then(|own| file.integer(own, key))
                        .and_then(|span| usize::try_from(span).ok())
                        .unwrap_or(1)
                        .min(1000)
                };
                let (columns, depth) = (span("ColSpan"), span("RowSpan"));
                for place in (row..row + depth)
                    .flat_map(|row| (column..column + columns).map(move |column| (row, column)))
                {
                    report.expect(
                        taken.insert(place),
                        "14.8.4.3.4",
                        "two cells of a table take the same place",
                    );
                }
                column += columns;
            }
        }
        let width = taken.iter().map(|(_, column)| column + 1).max().unwrap_or(0);
        let regular = taken.len() == width * rows.len() && taken.iter().all(|(row, _)| *row < rows.len());
        report.expect(regular, "14.8.4.3.4", "the rows of a table are not of the same length");
    }
}

/// The attributes of an owner.
fn attributes<'f>(file: &'f File, about: &'f Dictionary, owner: &str) -> Option<&'f Dictionary> {
    let own = file.list(about, "A").into_iter().filter_map(|one| dictionary(file.follow(one)?));
    own.into_iter().find(|one| file.name(one, "O") == Some(owner))
}

/// Content and structure know each other, both ways, and the structure is in the order of the content.
fn contents(file: &File, shown: &Shown, elements: &[Element], root: &Dictionary, report: &mut Report) {
    let mut owners: Vec<((usize, i64), ObjectId, &str)> = Vec::new();
    let mut waiting: Vec<&Element> = elements.iter().rev().collect();
    while let Some(element) = waiting.pop() {
        owners.extend(element.content.iter().map(|content| (*content, element.id, element.kind.as_str())));
        waiting.extend(element.children.iter().rev());
    }
    let told = parents(file, root);
    let mut known = BTreeMap::new();
    for (content, owner, kind) in &owners {
        report.expect(known.insert(*content, *kind).is_none(), "14.7.4.2", "content belongs to two elements");
        report.expect(
            told.get(content) == Some(owner),
            "14.7.4.4",
            "the parent tree does not lead from content to its element",
        );
    }
    report.expect(
        told.len() == owners.len(),
        "14.7.4.4",
        "the parent tree tells of content that no element has",
    );
    let mut marks = BTreeSet::new();
    for mark in &shown.marks {
        let content = (mark.page, mark.number);
        report.expect(marks.insert(content), "14.7.4.2", "a number of content stands on a page twice");
        match known.get(&content) {
            None => report.tell("14.7.4.2", "marked content belongs to no element"),
            Some(kind) => report.expect(
                *kind == mark.tag,
                "14.6.2",
                "content is marked as something else than its element is",
            ),
        }
    }
    report.expect(
        known.keys().all(|content| marks.contains(content)),
        "14.7.4.2",
        "an element has content that is on no page",
    );
    let order: Vec<(usize, i64)> = owners.iter().map(|(content, _, _)| *content).collect();
    report.expect(order.is_sorted(), "14.8.2.3", "the structure is in another order than the pages");
    for (number, page) in (0_i64..).zip(file.pages()) {
        let linked = file.integer(page, "StructParents");
        report.expect(
            linked == Some(number),
            "14.7.4.4",
            "a page does not lead to its part of the parent tree",
        );
    }
}

/// The parent tree: the element of each content.
fn parents(file: &File, root: &Dictionary) -> BTreeMap<(usize, i64), ObjectId> {
    let mut parents = BTreeMap::new();
    let pairs = file.dictionary(root, "ParentTree").map(|tree| file.list(tree, "Nums")).unwrap_or_default();
    for pair in pairs.chunks(2) {
        let [key, owners] = pair else { continue };
        let Some(page) = key.as_i64().ok().and_then(|key| usize::try_from(key).ok()) else { continue };
        let Some(owners) = file.follow(owners).and_then(|owners| owners.as_array().ok()) else { continue };
        parents.extend(
            (0..)
                .zip(owners)
                .filter_map(|(number, owner)| Some(((page, number), owner.as_reference().ok()?))),
        );
    }
    parents
}

/// There is a first heading, and no level is left out.
fn headings(elements: &[Element], report: &mut Report) {
    let mut last = 0;
    let mut waiting: Vec<&Element> = elements.iter().rev().collect();
    while let Some(element) = waiting.pop() {
        if let Some(level) = element.kind.strip_prefix('H').and_then(|level| level.parse::<u32>().ok()) {
            report.expect(level <= last + 1, "14.8.4.3.2", "a level of headings is left out");
            last = level;
        }
        report.expect(element.kind != "H", "14.8.4.3.2", "a heading has no level");
        waiting.extend(element.children.iter().rev());
    }
}
