//! 6.7: the logical structure that screen readers use.

use std::collections::{BTreeMap, BTreeSet};

use lopdf::{Dictionary, Object, ObjectId};

use crate::content::PageContent;
use crate::file::{File, dictionary};
use crate::report::Report;

/// Structure types of ISO 32000-1, 14.8.4.
const TYPES: &str = "Document Part Art Sect Div BlockQuote Caption TOC TOCI Index NonStruct Private P H H1 H2 H3 H4 H5 H6 L LI Lbl LBody \
                     Table TR TH TD THead TBody TFoot Span Quote Note Reference BibEntry Code Link Annot Figure Formula Form";

struct Element<'f> {
    id: ObjectId,
    kind: String,
    about: &'f Dictionary,
    children: Vec<Element<'f>>,
    /// Page and MCID of its own content.
    content: Vec<(usize, i64)>,
}

pub(crate) fn check(file: &File, content: &PageContent, report: &mut Report) {
    let catalog = file.catalog();
    let marked = file.dictionary(catalog, "MarkInfo").is_some_and(|mark| file.is_true(mark, "Marked"));
    report.require(marked, "6.7.2.2-1", "Marked in MarkInfo is not true");
    let suspects = file.dictionary(catalog, "MarkInfo").is_some_and(|mark| mark.has(b"Suspects"));
    report.require(!suspects, "6.7.2.2", "MarkInfo has Suspects");
    let language = file.text(catalog, "Lang").unwrap_or_default();
    report.require(language == "ja" || language == "ja-JP", "6.7.4-1", "Lang of the file is not Japanese");
    let shows_title = file
        .dictionary(catalog, "ViewerPreferences")
        .is_some_and(|preferences| file.is_true(preferences, "DisplayDocTitle"));
    report.require(shows_title, "7.18.1", "DisplayDocTitle is not true");
    let Some(root) = file.dictionary(catalog, "StructTreeRoot") else {
        return report.add("6.7.3.3-1", "the catalog has no StructTreeRoot");
    };
    let typed = root.has_type(b"StructTreeRoot");
    report.require(typed, "6.7.3.3-1", "Type of the structure root is not StructTreeRoot");
    report.require(
        !root.has(b"RoleMap"),
        "6.7.3.4-2",
        "the structure has a RoleMap, which our documents do not need",
    );

    let mut pages = BTreeMap::new();
    for (number, id) in file.document.page_iter().enumerate() {
        pages.insert(id, number);
        let page = file.document.get_dictionary(id).ok();
        let by_structure = page.is_some_and(|page| file.name(page, "Tabs") == Some("S"));
        report.require(by_structure, "6.7.3", "Tabs of a page is not S");
    }
    let mut reader = Reader { file, pages: &pages, seen: BTreeSet::new() };
    let root_id = catalog.get(b"StructTreeRoot").and_then(Object::as_reference).ok();
    let elements = reader.children(root, root_id, None, report);
    let one_document = elements.len() == 1 && elements[0].kind == "Document";
    report.require(one_document, "14.8.4.2", "the structure root does not have exactly one Document");
    for element in &elements {
        element.check(file, "", report);
    }
    check_content(file, content, &elements, root, report);
    check_headings(&elements, report);
}

struct Reader<'f> {
    file: &'f File<'f>,
    pages: &'f BTreeMap<ObjectId, usize>,
    seen: BTreeSet<ObjectId>,
}

impl<'f> Reader<'f> {
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
                report.add("14.7.2", "an element occurs twice in the structure");
                continue;
            }
            let Ok(child) = file.document.get_dictionary(kid) else {
                report.add("14.7.2", "an element of the structure is missing");
                continue;
            };
            let parent = child.get(b"P").and_then(Object::as_reference).ok();
            report.require(parent.is_some() && parent == id, "14.7.2", "P of an element is not its parent");
            let page = self.page_of(child).or(page);
            let kind = file.name(child, "S").unwrap_or_default().to_owned();
            let is_standard = TYPES.split_whitespace().any(|known| known == kind);
            report.require(is_standard, "6.7.3.4-1", &format!("{kind:?} is not a standard structure type"));
            let content = self.content(child, page, report);
            let below = self.children(child, Some(kid), page, report);
            children.push(Element { id: kid, kind, about: child, children: below, content });
        }
        children
    }

    fn page_of(&self, about: &Dictionary) -> Option<usize> {
        let id = about.get(b"Pg").and_then(Object::as_reference).ok()?;
        self.pages.get(&id).copied()
    }

    fn content(&self, about: &Dictionary, page: Option<usize>, report: &mut Report) -> Vec<(usize, i64)> {
        let mut content = Vec::new();
        for kid in self.file.list(about, "K") {
            let found = match kid {
                Object::Integer(number) => page.map(|page| (page, *number)),
                Object::Dictionary(reference) if reference.has_type(b"MCR") => {
                    self.page_of(reference).zip(self.file.integer(reference, "MCID"))
                }
                _ => continue,
            };
            match found {
                Some(found) => content.push(found),
                None => report.add("14.7.4.2", "content of an element has no page"),
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
                let has_no_content = self.content.is_empty();
                report.require(has_no_content, "14.8.4.2", "a grouping element has content of its own");
                report.require(!self.children.is_empty(), "14.8.4.2", "a grouping element is empty");
            }
            "Table" => self.table(file, report),
            "TR" => {
                let only_cells = only(&["TH", "TD"]);
                report.require(only_cells, "14.8.4.3.4", "a table row has children other than cells");
                let in_table = matches!(parent, "Table" | "THead" | "TBody" | "TFoot");
                report.require(in_table, "14.8.4.3.4", "a table row is not in a table");
            }
            "TH" => {
                let scope = attributes(file, self.about, "Table").and_then(|own| file.name(own, "Scope"));
                let has_scope = matches!(scope, Some("Row" | "Column" | "Both"));
                report.require(has_scope, "14.8.5.7", "a head cell has no Scope");
                report.require(parent == "TR", "14.8.4.3.4", "a table cell is not in a row");
            }
            "TD" => report.require(parent == "TR", "14.8.4.3.4", "a table cell is not in a row"),
            "L" => {
                let only_items = only(&["LI", "L", "Caption"]) && kinds.contains(&"LI");
                report.require(only_items, "14.8.4.3.3", "a list has children other than items");
                let numbering =
                    attributes(file, self.about, "List").and_then(|own| file.name(own, "ListNumbering"));
                report.require(numbering.is_some(), "14.8.5.5", "a list has no ListNumbering");
            }
            "LI" => {
                report.require(parent == "L", "14.8.4.3.3", "a list item is not in a list");
                let is_pair = kinds == ["Lbl", "LBody"] && self.content.is_empty();
                report.require(is_pair, "14.8.4.3.3", "a list item does not consist of a label and a body");
            }
            "Lbl" | "LBody" => {
                report.require(parent == "LI", "14.8.4.3.3", "a label or body is not in a list item");
            }
            "Figure" => {
                let alternative = file.text(self.about, "Alt").is_some_and(|text| !text.trim().is_empty());
                report.require(alternative, "6.7.5", "a figure has no Alt");
                let edges: Vec<f32> = attributes(file, self.about, "Layout")
                    .map(|own| {
                        file.list(own, "BBox").iter().filter_map(|edge| edge.as_float().ok()).collect()
                    })
                    .unwrap_or_default();
                let ordered = edges.len() == 4 && edges[0] < edges[2] && edges[1] < edges[3];
                report.require(ordered, "14.8.5.4.3", "a figure has no BBox");
                report.require(!self.content.is_empty(), "14.8.4.5", "a figure has no content");
            }
            "P" | "H1" | "H2" | "H3" | "H4" | "H5" | "H6" => {
                let within = kinds.iter().all(|kind| {
                    matches!(
                        *kind,
                        "Span" | "Quote" | "Note" | "Reference" | "Code" | "Link" | "Figure" | "Formula"
                    )
                });
                report.require(within, "14.8.4.3.2", "a paragraph has a block as child");
                let empty = self.content.is_empty() && self.children.is_empty();
                report.require(!empty, "14.8.4.3.2", "a paragraph is empty");
            }
            _ => {}
        }
        let replaced = ["ActualText", "E", "Lang"].iter().any(|key| self.about.has(key.as_bytes()));
        report.require(!replaced, "6.7.7", "an element replaces its text, which our documents do not need");
        for child in &self.children {
            child.check(file, &self.kind, report);
        }
    }

    /// The rows, including those of row groups.
    fn rows(&self) -> Vec<&Element<'_>> {
        let grouped = |child: &Element| matches!(child.kind.as_str(), "THead" | "TBody" | "TFoot");
        self.children
            .iter()
            .flat_map(|child| if grouped(child) { child.rows() } else { vec![child] })
            .collect()
    }

    /// Requires that the cells fill the table without overlaps or holes.
    fn table(&self, file: &File, report: &mut Report) {
        let rows: Vec<&Element> = self.rows().into_iter().filter(|row| row.kind != "Caption").collect();
        let only_rows = !rows.is_empty() && rows.iter().all(|row| row.kind == "TR");
        report.require(only_rows, "14.8.4.3.4", "a table has children other than rows");
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
                    report.require(taken.insert(place), "14.8.4.3.4", "two cells of a table overlap");
                }
                column += columns;
            }
        }
        let width = taken.iter().map(|(_, column)| column + 1).max().unwrap_or(0);
        let regular = taken.len() == width * rows.len() && taken.iter().all(|(row, _)| *row < rows.len());
        report.require(regular, "14.8.4.3.4", "the rows of a table have different lengths");
    }
}

fn attributes<'f>(file: &'f File, about: &'f Dictionary, owner: &str) -> Option<&'f Dictionary> {
    let own = file.list(about, "A").into_iter().filter_map(|one| dictionary(file.resolve(one)?));
    own.into_iter().find(|one| file.name(one, "O") == Some(owner))
}

/// Content and structure must refer to each other, and be in the same order.
fn check_content(
    file: &File,
    content: &PageContent,
    elements: &[Element],
    root: &Dictionary,
    report: &mut Report,
) {
    let mut owners: Vec<((usize, i64), ObjectId, &str)> = Vec::new();
    let mut waiting: Vec<&Element> = elements.iter().rev().collect();
    while let Some(element) = waiting.pop() {
        owners.extend(element.content.iter().map(|content| (*content, element.id, element.kind.as_str())));
        waiting.extend(element.children.iter().rev());
    }
    let owners_by_tree = parent_tree(file, root);
    let mut known = BTreeMap::new();
    for (content, owner, kind) in &owners {
        let is_new = known.insert(*content, *kind).is_none();
        report.require(is_new, "14.7.4.2", "content belongs to two elements");
        let agrees = owners_by_tree.get(content) == Some(owner);
        report.require(agrees, "14.7.4.4", "the parent tree has another element for some content");
    }
    let is_complete = owners_by_tree.len() == owners.len();
    report.require(is_complete, "14.7.4.4", "the parent tree has content that no element has");
    let mut marks = BTreeSet::new();
    for mark in &content.marks {
        let content = (mark.page, mark.number);
        report.require(marks.insert(content), "14.7.4.2", "an MCID occurs twice on a page");
        match known.get(&content) {
            None => report.add("14.7.4.2", "marked content belongs to no element"),
            Some(kind) => report.require(
                *kind == mark.tag,
                "14.6.2",
                "the tag of marked content differs from the type of its element",
            ),
        }
    }
    let is_found = known.keys().all(|content| marks.contains(content));
    report.require(is_found, "14.7.4.2", "an element refers to missing content");
    let order: Vec<(usize, i64)> = owners.iter().map(|(content, _, _)| *content).collect();
    let in_order = order.is_sorted();
    report.require(in_order, "14.8.2.3", "the order of the structure differs from that of the pages");
    for (number, page) in (0_i64..).zip(file.pages()) {
        let linked = file.integer(page, "StructParents");
        report.require(linked == Some(number), "14.7.4.4", "StructParents of a page is wrong");
    }
}

/// The parent tree: the element of each page and MCID.
fn parent_tree(file: &File, root: &Dictionary) -> BTreeMap<(usize, i64), ObjectId> {
    let mut parents = BTreeMap::new();
    let pairs = file.dictionary(root, "ParentTree").map(|tree| file.list(tree, "Nums")).unwrap_or_default();
    for pair in pairs.chunks(2) {
        let [key, owners] = pair else { continue };
        let Some(page) = key.as_i64().ok().and_then(|key| usize::try_from(key).ok()) else { continue };
        let Some(owners) = file.resolve(owners).and_then(|owners| owners.as_array().ok()) else { continue };
        parents.extend(
            (0..)
                .zip(owners)
                .filter_map(|(number, owner)| Some(((page, number), owner.as_reference().ok()?))),
        );
    }
    parents
}

/// No level of headings may be skipped.
fn check_headings(elements: &[Element], report: &mut Report) {
    let mut last = 0;
    let mut waiting: Vec<&Element> = elements.iter().rev().collect();
    while let Some(element) = waiting.pop() {
        if let Some(level) = element.kind.strip_prefix('H').and_then(|level| level.parse::<u32>().ok()) {
            report.require(level <= last + 1, "14.8.4.3.2", "a level of headings is skipped");
            last = level;
        }
        report.require(element.kind != "H", "14.8.4.3.2", "a heading has no level");
        waiting.extend(element.children.iter().rev());
    }
}
