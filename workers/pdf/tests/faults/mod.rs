//! Breaks a clean document in many ways; each fault is found with its clause.

mod content;
mod structure;

use std::collections::BTreeSet;

use hosho_pdfa::{assert_clean, findings};
use lopdf::Document;

use super::{info, is_sound, made};
use crate::{Attachment, Info, object_stream};
use content::{CONTENT, Fault, GRAPHICS, INTERACTIVE, SYNTAX, pictured};
use structure::{ATTACHMENTS, FONTS, METADATA, STRUCTURE};

/// Markup with every element that the faults break.
const MARKUP: &str = r#"<page margin="20mm">
  <heading level="1">電子保証にかかる「認証キー」のお知らせ</heading>
  <p indent="1em">次の①または②の方法で発注者にご提出ください。</p>
  <list marker="circled"><item>電子契約システム</item><item>電子メール</item></list>
  <table widths="40mm *">
    <row><label>工事名</label><value>市道若葉１２号線道路改良工事</value></row>
    <row><label>認証キー</label><value><key>Abc3Def6GHj9</key></value></row>
  </table>
  <heading level="2">発注者の皆さまへ</heading>
  <box fill="tint"><p>閲覧サイト　https://registry.example.jp/</p></box>
  <qr data="https://registry.example.jp/" size="25mm" alt="閲覧サイトを開くQRコード"/>
</page>"#;

/// The document without an attachment.
fn without_attachment() -> Vec<u8> {
    made(MARKUP, &info()).unwrap()
}

/// The same document with an attachment.
fn with_attachment() -> Vec<u8> {
    let attachment = Attachment {
        name: "certificate.json",
        description: "データ",
        media_type: "application/json",
        content: b"{\"number\":\"31075-00001M\"}".to_vec(),
    };
    made(MARKUP, &Info { attachment: Some(attachment), ..info() }).unwrap()
}

#[test]
fn qpdf_accepts_documents_and_rejects_a_broken_one() {
    let good = without_attachment();
    assert!(is_sound(&good) && is_sound(&with_attachment()));
    let at = good.windows(10).position(|window| window == b"/Type/XRef").unwrap();
    assert!(
        !is_sound(&[&good[..at], b"/Type/Xref", &good[at + 10..]].concat()),
        "qpdf accepts a broken file"
    );
}

/// The document with a fault, serialized as all documents are.
fn broken(bytes: &[u8], fault: impl Fn(&mut Document)) -> Vec<u8> {
    let mut document = Document::load_mem(bytes).unwrap();
    document.objects.retain(|_, object| {
        !hosho_pdfa::dictionary(object)
            .is_some_and(|about| about.has_type(b"ObjStm") || about.has_type(b"XRef"))
    });
    fault(&mut document);
    object_stream::serialize(&document).unwrap()
}

/// Faults of bytes: the clause, a byte string, and its replacement.
const BYTES: [(&str, &[u8], &[u8]); 11] = [
    ("6.1.1", b"%PDF-1.7", b"%PS-1.7 "),
    ("6.1.2-1", b"%PDF-1.7", b"%PDF-1.8"),
    ("6.1.2-1", b"%PDF-1.7\n%", b"%PDF-1.7 %"),
    ("6.1.2-2", b"%\xE2\xE3\xCF\xD3", b"%abcd"),
    ("6.1.3-2", b"/Type/XRef", b"/Type/XRef/Encrypt<</Filter/Standard>>"),
    ("6.1.3-3", b"%%EOF\n", b"%%EOF\n\n"),
    ("6.1.4-1", b"startxref\n", b"startxref\r"),
    ("6.1.7.1-1", b"\nendstream", b" endstream"),
    ("6.1.7.1-2", b"stream\n", b"stream\r"),
    ("6.1.9-1", b" 0 obj\n", b" 0 obj "),
    ("6.1.9-1", b"\nendobj\n", b" endobj\n"),
];

#[test]
fn finds_every_fault() {
    let (bare, carrier) = (without_attachment(), with_attachment());
    assert_clean("the document", &bare);
    assert_clean("the document, rewritten", &broken(&bare, |_| ()));
    assert_clean("the document with an attachment, rewritten", &broken(&carrier, |_| ()));
    assert_clean("the document with a picture", &broken(&bare, pictured));
    let mut missed = Vec::new();
    let mut found = BTreeSet::new();
    let mut judge = |number: usize, clause: &'static str, bytes: &[u8]| {
        let messages: Vec<String> = findings(bytes).iter().map(ToString::to_string).collect();
        found.insert(clause);
        if !messages.iter().any(|message| message.starts_with(&format!("{clause}: "))) {
            missed.push(format!("fault {number}, {clause}: {messages:?}"));
        }
    };
    for (number, (clause, from, to)) in BYTES.iter().enumerate() {
        let at = bare.windows(from.len()).position(|window| window == *from).unwrap();
        judge(number, clause, &[&bare[..at], to, &bare[at + from.len()..]].concat());
    }
    let tables: [(&[Fault], &[u8]); 8] = [
        (SYNTAX, &bare),
        (CONTENT, &bare),
        (GRAPHICS, &bare),
        (INTERACTIVE, &bare),
        (FONTS, &bare),
        (METADATA, &bare),
        (STRUCTURE, &bare),
        (ATTACHMENTS, &carrier),
    ];
    for (faults, good) in tables {
        for (number, (clause, fault)) in faults.iter().enumerate() {
            judge(number, clause, &broken(good, fault));
        }
    }
    assert!(missed.is_empty(), "{}", missed.join("\n"));
    // Every check must fail at least once, except the one for a file of eight million objects.
    let unseen: Vec<_> =
        hosho_pdfa::clauses().difference(&found).copied().filter(|clause| *clause != "6.1.13-7").collect();
    assert!(unseen.is_empty(), "no fault breaks these clauses: {unseen:?}");
}
