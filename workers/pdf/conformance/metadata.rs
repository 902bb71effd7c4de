//! 6.6: metadata, in XMP and in the information dictionary.

use std::collections::BTreeSet;

use roxmltree::{Document as Xml, Node};

use crate::file::File;
use crate::report::Report;

const RDF: &str = "http://www.w3.org/1999/02/22-rdf-syntax-ns#";
const DC: &str = "http://purl.org/dc/elements/1.1/";
const XMP: &str = "http://ns.adobe.com/xap/1.0/";
const PDF: &str = "http://ns.adobe.com/pdf/1.3/";
const ID: &str = "http://www.aiim.org/pdfa/ns/id/";
const EXTENSION: &str = "http://www.aiim.org/pdfa/ns/extension/";
const SCHEMA: &str = "http://www.aiim.org/pdfa/ns/schema#";
const PROPERTY: &str = "http://www.aiim.org/pdfa/ns/property#";
const OURS: &str = "urn:hosho:document:1";

/// Standard properties of our documents, with the container of their values.
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

#[derive(Default)]
pub(crate) struct Claim {
    /// Part of ISO 19005.
    pub(crate) part: Option<u8>,
    /// SHA-256 of the attachment.
    pub(crate) data: Option<String>,
}

pub(crate) fn check(file: &File, report: &mut Report) -> Claim {
    let Some(stream) = file.stream(file.catalog(), "Metadata") else {
        report.add("6.6.2.1-1", "the catalog has no metadata");
        return Claim::default();
    };
    let typed = stream.dict.has_type(b"Metadata") && file.name(&stream.dict, "Subtype") == Some("XML");
    report.require(typed, "6.6.2.1-1", "Type or Subtype of the metadata is wrong");
    report.require(!stream.dict.has(b"Filter"), "6.6.2.1", "the metadata is compressed");
    let Ok(text) = std::str::from_utf8(&stream.content) else {
        report.add("6.6.2.1-5", "the metadata is not UTF-8");
        return Claim::default();
    };
    let header = text.split("?>").next().unwrap_or_default();
    let has_header = header.starts_with("<?xpacket begin=\"\u{FEFF}\" id=\"W5M0MpCehiHzreSzNTczkc9d\"");
    report.require(has_header, "6.6.2.1-4", "the XMP packet has no header");
    report.require(!header.contains("bytes="), "6.6.2.1-2", "the XMP packet has the attribute bytes");
    report.require(!header.contains("encoding="), "6.6.2.1-3", "the XMP packet has the attribute encoding");
    report.require(
        text.trim_end().ends_with("<?xpacket end=\"r\"?>")
            || text.trim_end().ends_with("<?xpacket end=\"w\"?>"),
        "6.6.2.1-4",
        "the XMP packet has no trailer",
    );
    let Ok(xml) = Xml::parse(text) else {
        report.add("6.6.2.1-4", "the metadata is not well-formed");
        return Claim::default();
    };
    let descriptions: Vec<Node> =
        xml.descendants().filter(|node| node.has_tag_name((RDF, "Description"))).collect();
    let placed =
        descriptions.iter().all(|node| node.parent().is_some_and(|parent| parent.has_tag_name((RDF, "RDF"))));
    report.require(placed && !descriptions.is_empty(), "6.6.2.1-4", "the metadata is not RDF");
    let is_about_file = descriptions.iter().all(|node| node.attribute((RDF, "about")) == Some(""));
    report.require(is_about_file, "6.6.2.1-4", "rdf:about of a description is not empty");
    let properties: Vec<Node> =
        descriptions.iter().flat_map(Node::children).filter(Node::is_element).collect();
    let value = |space: &str, name: &str| {
        properties.iter().find(|node| node.has_tag_name((space, name))).map(|node| words(*node))
    };

    let described = described_properties(&xml, report);
    check_properties(&properties, &described, report);
    check_identification(&xml, &value, report);
    check_information(file, &value, report);
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

/// Requires that every property is standard or described, and of its type.
fn check_properties(properties: &[Node], described: &BTreeSet<String>, report: &mut Report) {
    let mut seen = BTreeSet::new();
    for node in properties {
        let (space, name) = (node.tag_name().namespace().unwrap_or_default(), node.tag_name().name());
        report.require(seen.insert((space, name)), "6.6.2.1-4", "a property occurs twice");
        if space == OURS {
            report.require(
                described.contains(name),
                "6.6.2.3.1-1",
                "a property of our schema is not described in the file",
            );
            let number = name != "revision" || words(*node).parse::<i64>().is_ok();
            let is_typed = number && node.children().all(|child| child.is_text());
            report.require(is_typed, "6.6.2.3.1-2", "a property of our schema has a value of the wrong type");
            continue;
        }
        if matches!(space, ID | EXTENSION) {
            continue;
        }
        let Some((_, _, list)) = KNOWN.iter().find(|(known, own, _)| *known == space && *own == name) else {
            report.add("6.6.2.3.1-1", format!("property {name} is neither standard nor described"));
            continue;
        };
        let kept = node.first_element_child();
        let right = if list.is_empty() {
            kept.is_none()
        } else {
            kept.is_some_and(|kept| kept.has_tag_name((RDF, *list)))
        };
        report.require(right, "6.6.2.3.1-2", "a property has the wrong type of container");
        if *list == "Alt" {
            let first = kept.and_then(|kept| kept.first_element_child());
            let language =
                first.and_then(|item| item.attribute(("http://www.w3.org/XML/1998/namespace", "lang")));
            let is_default = language == Some("x-default");
            report.require(is_default, "6.6.2.3.1-2", "a language alternative does not begin with x-default");
        }
        if name.ends_with("Date") {
            let date = chrono::DateTime::parse_from_rfc3339(&words(*node));
            report.require(date.is_ok(), "6.6.2.3.1-2", "a date does not have the syntax of XMP");
        }
    }
}

/// Checks the description of our schema; returns the described properties.
fn described_properties(xml: &Xml, report: &mut Report) -> BTreeSet<String> {
    let child = |node: Node, space: &str, name: &str| {
        node.children().find(|child| child.has_tag_name((space, name))).map(words)
    };
    let prefix = |node: Node, space: &str| node.lookup_prefix(space).unwrap_or_default().to_owned();
    let mut described = BTreeSet::new();
    for container in xml.descendants().filter(|node| node.has_tag_name((EXTENSION, "schemas"))) {
        let bag = container.first_element_child().filter(|node| node.has_tag_name((RDF, "Bag")));
        let named = prefix(container, EXTENSION) == "pdfaExtension";
        let Some(bag) = bag.filter(|_| named) else {
            report.add("6.6.2.3.3-1", "the schema descriptions are not in a Bag");
            continue;
        };
        for schema in bag.children().filter(Node::is_element) {
            let text = |name| child(schema, SCHEMA, name).filter(|text| !text.is_empty());
            let is_named = text("schema").is_some() && prefix(schema, SCHEMA) == "pdfaSchema";
            report.require(is_named, "6.6.2.3.3-2", "a schema has no name");
            let is_ours = text("namespaceURI").as_deref() == Some(OURS);
            report.require(is_ours, "6.6.2.3.3-3", "the namespace of a schema is not ours");
            let is_ours = text("prefix").as_deref() == Some("hosho");
            report.require(is_ours, "6.6.2.3.3-4", "the prefix of a schema is not ours");
            let list = schema
                .children()
                .find(|node| node.has_tag_name((SCHEMA, "property")))
                .and_then(|node| node.first_element_child());
            let Some(list) = list.filter(|list| list.has_tag_name((RDF, "Seq"))) else {
                report.add("6.6.2.3.3-5", "a schema does not list its properties");
                continue;
            };
            for property in list.children().filter(Node::is_element) {
                let text = |name| child(property, PROPERTY, name).filter(|text| !text.is_empty());
                let is_named = text("name").is_some() && prefix(property, PROPERTY) == "pdfaProperty";
                report.require(is_named, "6.6.2.3.3-7", "a described property has no name");
                let kind = matches!(
                    text("valueType").as_deref(),
                    Some("Text" | "Integer" | "URI" | "Date" | "Boolean")
                );
                report.require(kind, "6.6.2.3.3-8", "the type of a described property is unknown");
                let category = matches!(text("category").as_deref(), Some("external" | "internal"));
                report.require(
                    category,
                    "6.6.2.3.3-9",
                    "the category of a described property is neither internal nor external",
                );
                let is_described = text("description").is_some();
                report.require(is_described, "6.6.2.3.3-10", "a described property has no description");
                described.extend(text("name"));
                let defined = property.children().filter(Node::is_element).all(|field| {
                    field.tag_name().namespace() == Some(PROPERTY)
                        && matches!(
                            field.tag_name().name(),
                            "name" | "valueType" | "category" | "description"
                        )
                });
                report.require(defined, "6.6.2.3.2-1", "a described property has an unknown field");
            }
        }
    }
    described
}

fn check_identification(xml: &Xml, value: &impl Fn(&str, &str) -> Option<String>, report: &mut Report) {
    let part = value(ID, "part");
    report.require(part.is_some(), "6.6.4-1", "the metadata has no PDF/A part");
    let known_part = matches!(part.as_deref(), Some("2" | "3"));
    report.require(known_part, "6.6.4-2", "the file is neither PDF/A-2 nor PDF/A-3");
    let level_a = value(ID, "conformance").as_deref() == Some("A");
    report.require(level_a, "6.6.4-3", "the file does not claim level A");
    let bound = xml.descendants().filter(|node| node.tag_name().namespace() == Some(ID));
    let prefixed = bound.into_iter().all(|node| node.lookup_prefix(ID) == Some("pdfaid"));
    report.require(prefixed, "6.6.4-4", "the namespace prefix of the identification is not pdfaid");
}

/// The information dictionary must agree with XMP.
fn check_information(file: &File, value: &impl Fn(&str, &str) -> Option<String>, report: &mut Report) {
    let Some(info) = file.dictionary(&file.document.trailer, "Info") else {
        return report.add("6.6.3", "the file has no information dictionary");
    };
    for (key, space, name) in [
        ("Title", DC, "title"),
        ("Author", DC, "creator"),
        ("Subject", DC, "description"),
        ("Producer", PDF, "Producer"),
    ] {
        let stated = file.text(info, key);
        let agrees = stated.is_some() && stated == value(space, name);
        report.require(agrees, "6.6.3", &format!("{key} differs from the XMP metadata"));
    }
    let is_titled = file.text(info, "Title").is_some_and(|title| !title.is_empty());
    report.require(is_titled, "7.18.1", "the file has no title");
    for (key, name) in [("CreationDate", "CreateDate"), ("ModDate", "ModifyDate")] {
        let stated = file.text(info, key).and_then(|date| {
            let date = date.strip_prefix("D:")?.replace('\'', "");
            chrono::DateTime::parse_from_str(&date, "%Y%m%d%H%M%S%z").ok()
        });
        let meant = value(XMP, name).and_then(|date| chrono::DateTime::parse_from_rfc3339(&date).ok());
        let agrees = stated.is_some() && stated == meant;
        report.require(agrees, "6.6.3", &format!("{key} differs from the XMP metadata"));
    }
    for (key, _) in info {
        let known: [&[u8]; 6] = [b"Title", b"Author", b"Subject", b"Producer", b"CreationDate", b"ModDate"];
        let is_known = known.contains(&key.as_slice());
        report.require(is_known, "6.6.3", "the information dictionary has a key that XMP lacks");
    }
}
