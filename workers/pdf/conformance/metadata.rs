//! 6.6: what the file says about itself, in XMP and in the older dictionary.

use std::collections::BTreeSet;

use roxmltree::{Document as Xml, Node};

use super::{File, Report};

const RDF: &str = "http://www.w3.org/1999/02/22-rdf-syntax-ns#";
const DC: &str = "http://purl.org/dc/elements/1.1/";
const XMP: &str = "http://ns.adobe.com/xap/1.0/";
const PDF: &str = "http://ns.adobe.com/pdf/1.3/";
const ID: &str = "http://www.aiim.org/pdfa/ns/id/";
const EXTENSION: &str = "http://www.aiim.org/pdfa/ns/extension/";
const SCHEMA: &str = "http://www.aiim.org/pdfa/ns/schema#";
const PROPERTY: &str = "http://www.aiim.org/pdfa/ns/property#";
const OURS: &str = "urn:hosho:document:1";

/// Properties of XMP's own schemas that our documents may have, and how their values are kept.
const KNOWN: [(&str, &str, &str); 10] = [
    (DC, "format", ""),
    (DC, "language", "Bag"),
    (DC, "title", "Alt"),
    (DC, "creator", "Seq"),
    (DC, "description", "Alt"),
    (XMP, "CreateDate", ""),
    (XMP, "ModifyDate", ""),
    (XMP, "MetadataDate", ""),
    (XMP, "CreatorTool", ""),
    (PDF, "Producer", ""),
];

/// What the file claims to be.
#[derive(Default)]
pub(super) struct Claim {
    /// Part of ISO 19005.
    pub(super) part: Option<u8>,
    /// SHA-256 of the attached data.
    pub(super) data: Option<String>,
}

pub(super) fn check(file: &File, report: &mut Report) -> Claim {
    let Some(stream) = file.stream(file.catalog(), "Metadata") else {
        report.tell("6.6.2.1-1", "there is no metadata");
        return Claim::default();
    };
    let typed = stream.dict.has_type(b"Metadata") && file.name(&stream.dict, "Subtype") == Some("XML");
    report.expect(typed, "6.6.2.1-1", "the metadata does not say that it is XML");
    report.expect(
        !stream.dict.has(b"Filter"),
        "6.6.2.1",
        "the metadata is compressed, so that only readers of PDF find it",
    );
    let Ok(text) = std::str::from_utf8(&stream.content) else {
        report.tell("6.6.2.1-5", "the metadata is not UTF-8");
        return Claim::default();
    };
    let header = text.split("?>").next().unwrap_or_default();
    report.expect(
        header.starts_with("<?xpacket begin=\"\u{FEFF}\" id=\"W5M0MpCehiHzreSzNTczkc9d\""),
        "6.6.2.1-4",
        "the packet has no header",
    );
    report.expect(!header.contains("bytes="), "6.6.2.1-2", "the packet says how many bytes it has");
    report.expect(!header.contains("encoding="), "6.6.2.1-3", "the packet says how it is encoded");
    report.expect(
        text.trim_end().ends_with("<?xpacket end=\"r\"?>")
            || text.trim_end().ends_with("<?xpacket end=\"w\"?>"),
        "6.6.2.1-4",
        "the packet has no end",
    );
    let Ok(xml) = Xml::parse(text) else {
        report.tell("6.6.2.1-4", "the metadata is not well-formed");
        return Claim::default();
    };
    let descriptions: Vec<Node> =
        xml.descendants().filter(|node| node.has_tag_name((RDF, "Description"))).collect();
    let placed =
        descriptions.iter().all(|node| node.parent().is_some_and(|parent| parent.has_tag_name((RDF, "RDF"))));
    report.expect(placed && !descriptions.is_empty(), "6.6.2.1-4", "the metadata is not RDF");
    report.expect(
        descriptions.iter().all(|node| node.attribute((RDF, "about")) == Some("")),
        "6.6.2.1-4",
        "a description is about something else",
    );
    let properties: Vec<Node> =
        descriptions.iter().flat_map(Node::children).filter(Node::is_element).collect();
    let value = |space: &str, name: &str| {
        properties.iter().find(|node| node.has_tag_name((space, name))).map(|node| words(*node))
    };

    let described = extensions(&xml, report);
    kinds(&properties, &described, report);
    identification(&xml, &value, report);
    agreement(file, &value, report);
    Claim { part: value(ID, "part").and_then(|part| part.parse().ok()), data: value(OURS, "dataSha256") }
}

/// The text of a property, or of the only item of its list.
fn words(node: Node) -> String {
    node.descendants()
        .filter(Node::is_text)
        .filter_map(|node| node.text())
        .collect::<String>()
        .trim_matches('\n')
        .to_owned()
}

/// Every property is one that XMP knows or that the file describes, and is kept as its schema says.
fn kinds(properties: &[Node], described: &BTreeSet<String>, report: &mut Report) {
    let mut seen = BTreeSet::new();
    for node in properties {
        let (space, name) = (node.tag_name().namespace().unwrap_or_default(), node.tag_name().name());
        report.expect(seen.insert((space, name)), "6.6.2.1-4", "a property is told twice");
        if space == OURS {
            report.expect(
                described.contains(name),
                "6.6.2.3.1-1",
                "a property of ours is not described in the file",
            );
            let number = name != "revision" || words(*node).parse::<i64>().is_ok();
            report.expect(
                number && node.children().all(|child| child.is_text()),
                "6.6.2.3.1-2",
                "a property of ours is not of its kind",
            );
            continue;
        }
        if matches!(space, ID | EXTENSION) {
            continue;
        }
        let Some((_, _, list)) = KNOWN.iter().find(|(known, own, _)| *known == space && *own == name) else {
            report.tell("6.6.2.3.1-1", format!("property {name} is neither known nor described"));
            continue;
        };
        let kept = node.first_element_child();
        let right = if list.is_empty() {
            kept.is_none()
        } else {
            kept.is_some_and(|kept| kept.has_tag_name((RDF, *list)))
        };
        report.expect(right, "6.6.2.3.1-2", "a property is not kept as its schema says");
        if *list == "Alt" {
            let first = kept.and_then(|kept| kept.first_element_child());
            let language =
                first.and_then(|item| item.attribute(("http://www.w3.org/XML/1998/namespace", "lang")));
            report.expect(
                language == Some("x-default"),
                "6.6.2.3.1-2",
                "a text in languages does not begin with the usual one",
            );
        }
        if name.ends_with("Date") {
            let date = chrono::DateTime::parse_from_rfc3339(&words(*node));
            report.expect(date.is_ok(), "6.6.2.3.1-2", "a date is not one of XMP");
        }
    }
}

/// Reads the description of our schema: names of the properties that it describes.
fn extensions(xml: &Xml, report: &mut Report) -> BTreeSet<String> {
    let child = |node: Node, space: &str, name: &str| {
        node.children().find(|child| child.has_tag_name((space, name))).map(words)
    };
    let prefix = |node: Node, space: &str| node.lookup_prefix(space).unwrap_or_default().to_owned();
    let mut described = BTreeSet::new();
    for container in xml.descendants().filter(|node| node.has_tag_name((EXTENSION, "schemas"))) {
        let bag = container.first_element_child().filter(|node| node.has_tag_name((RDF, "Bag")));
        let named = prefix(container, EXTENSION) == "pdfaExtension";
        let Some(bag) = bag.filter(|_| named) else {
            report.tell("6.6.2.3.3-1", "the descriptions of schemas are not kept as they must be");
            continue;
        };
        for schema in bag.children().filter(Node::is_element) {
            let text = |name| child(schema, SCHEMA, name).filter(|text| !text.is_empty());
            report.expect(
                text("schema").is_some() && prefix(schema, SCHEMA) == "pdfaSchema",
                "6.6.2.3.3-2",
                "a schema has no name",
            );
            report.expect(
                text("namespaceURI").as_deref() == Some(OURS),
                "6.6.2.3.3-3",
                "a schema has not our namespace",
            );
            report.expect(
                text("prefix").as_deref() == Some("hosho"),
                "6.6.2.3.3-4",
                "a schema has not our prefix",
            );
            let list = schema
                .children()
                .find(|node| node.has_tag_name((SCHEMA, "property")))
                .and_then(|node| node.first_element_child());
            let Some(list) = list.filter(|list| list.has_tag_name((RDF, "Seq"))) else {
                report.tell("6.6.2.3.3-5", "a schema does not list its properties");
                continue;
            };
            for property in list.children().filter(Node::is_element) {
                let text = |name| child(property, PROPERTY, name).filter(|text| !text.is_empty());
                report.expect(
                    text("name").is_some() && prefix(property, PROPERTY) == "pdfaProperty",
                    "6.6.2.3.3-7",
                    "a property has no name",
                );
                let kind = matches!(
                    text("valueType").as_deref(),
                    Some("Text" | "Integer" | "URI" | "Date" | "Boolean")
                );
                report.expect(kind, "6.6.2.3.3-8", "a property is of no known kind");
                let category = matches!(text("category").as_deref(), Some("external" | "internal"));
                report.expect(category, "6.6.2.3.3-9", "a property is neither internal nor external");
                report.expect(text("description").is_some(), "6.6.2.3.3-10", "a property is not described");
                described.extend(text("name"));
                let defined = property.children().filter(Node::is_element).all(|field| {
                    field.tag_name().namespace() == Some(PROPERTY)
                        && matches!(
                            field.tag_name().name(),
                            "name" | "valueType" | "category" | "description"
                        )
                });
                report.expect(defined, "6.6.2.3.2-1", "a description has a field that nobody knows");
            }
        }
    }
    described
}

fn identification(xml: &Xml, value: &impl Fn(&str, &str) -> Option<String>, report: &mut Report) {
    let part = value(ID, "part");
    report.expect(part.is_some(), "6.6.4-1", "the file does not say that it is PDF/A");
    report.expect(
        matches!(part.as_deref(), Some("2" | "3")),
        "6.6.4-2",
        "the file is neither PDF/A-2 nor PDF/A-3",
    );
    report.expect(
        value(ID, "conformance").as_deref() == Some("A"),
        "6.6.4-3",
        "the file does not claim level A",
    );
    let bound = xml.descendants().filter(|node| node.tag_name().namespace() == Some(ID));
    let prefixed = bound.into_iter().all(|node| node.lookup_prefix(ID) == Some("pdfaid"));
    report.expect(prefixed, "6.6.4-4", "the identification has another prefix than pdfaid");
}

/// The information dictionary says the same as XMP.
fn agreement(file: &File, value: &impl Fn(&str, &str) -> Option<String>, report: &mut Report) {
    let Some(info) = file.dictionary(&file.document.trailer, "Info") else {
        return report.tell("6.6.3", "there is no information dictionary");
    };
    for (key, space, name) in [
        ("Title", DC, "title"),
        ("Author", DC, "creator"),
        ("Subject", DC, "description"),
        ("Producer", PDF, "Producer"),
    ] {
        let told = file.text(info, key);
        report.expect(
            told.is_some() && told == value(space, name),
            "6.6.3",
            &format!("{key} is not what the metadata says"),
        );
    }
    report.expect(
        file.text(info, "Title").is_some_and(|title| !title.is_empty()),
        "7.18.1",
        "the file has no title",
    );
    for (key, name) in [("CreationDate", "CreateDate"), ("ModDate", "ModifyDate")] {
        let told = file.text(info, key).and_then(|date| {
            let date = date.strip_prefix("D:")?.replace('\'', "");
            chrono::DateTime::parse_from_str(&date, "%Y%m%d%H%M%S%z").ok()
        });
        let meant = value(XMP, name).and_then(|date| chrono::DateTime::parse_from_rfc3339(&date).ok());
        report.expect(
            told.is_some() && told == meant,
            "6.6.3",
            &format!("{key} is not what the metadata says"),
        );
    }
    for (key, _) in info {
        let known: [&[u8]; 6] = [b"Title", b"Author", b"Subject", b"Producer", b"CreationDate", b"ModDate"];
        report.expect(
            known.contains(&key.as_slice()),
            "6.6.3",
            "the information dictionary says more than the metadata",
        );
    }
}
