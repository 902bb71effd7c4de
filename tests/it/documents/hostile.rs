//! Hostile texts of a sender are escaped, rejected or wrapped; the file is valid.

use std::{sync::mpsc, time::Duration};

use chrono::NaiveDateTime;
use hosho_pdfa::assert_clean;
use hosho_schema::snapshots::Certificate;

use super::{KEY, REGISTRY, certificate, is_sound, renderer};

/// Longer than any document takes, so an endless loop does not block the tests.
const TIMEOUT: Duration = Duration::from_mins(1);

/// Runs a task on another thread and panics after the timeout.
#[track_caller]
fn within<T: Send + 'static>(name: &str, task: impl FnOnce() -> T + Send + 'static) -> T {
    let (sender, receiver) = mpsc::channel();
    std::thread::spawn(move || sender.send(task()));
    receiver.recv_timeout(TIMEOUT).unwrap_or_else(|_| panic!("{name} panicked or timed out"))
}

/// Certificates with a text in each of the fields that senders fill.
fn filled(text: &str) -> Vec<Certificate> {
    let places: [fn(&mut Certificate) -> &mut String; 5] = [
        |certificate| &mut certificate.works.name,
        |certificate| &mut certificate.principal.company.name,
        |certificate| &mut certificate.principal.company.address,
        |certificate| certificate.bank.get_or_insert_default(),
        |certificate| certificate.principal.joint_venture.get_or_insert_default(),
    ];
    let with_text = |place: fn(&mut Certificate) -> &mut String| {
        let mut certificate = certificate();
        text.clone_into(place(&mut certificate));
        certificate
    };
    places.into_iter().map(with_text).collect()
}

/// Renders and checks notice and certificate of a content.
fn rendered(name: &str, content: Certificate) -> Vec<Result<Vec<u8>, String>> {
    let documents = within(name, move || {
        let created = NaiveDateTime::default();
        [
            renderer().notice(&content, KEY, REGISTRY, created),
            renderer().certificate(&content, &hosho_schema::snapshots::canonical(&content), created),
        ]
    });
    let checked = documents.map(|document| match document {
        Ok(bytes) => {
            assert_clean(name, &bytes);
            Ok(bytes)
        }
        Err(error) => Err(hosho::fault::chain(&error)),
    });
    checked.into()
}

#[test]
fn prints_markup_and_control_sequences_as_text() {
    let texts = [
        "<b>太字</b>&amp;&#x41;<!-- -->]]>",
        "<page margin=\"0mm\"><qr data=\"x\"/></page>",
        "{{number}}{{> partials/certificate_head}}{{{works_name}}}\\{{x}}",
        "&lt;&xxe;<!DOCTYPE x [<!ENTITY xxe SYSTEM \"file:///etc/hostname\">]>",
        "(\\) <41> /Name [1 2] BT ET endstream endobj %%EOF",
        "\"' onload=x ;DROP TABLE--",
        "%PDF-1.7 trailer <</Root 1 0 R>>",
    ];
    for text in texts {
        for content in filled(text) {
            for document in rendered(text, content) {
                let bytes = document.unwrap_or_else(|error| panic!("{text}: {error}"));
                assert!(is_sound(&bytes), "{text}");
            }
        }
    }
}

#[test]
fn rejects_deceptive_characters() {
    let forbidden = [
        "山\u{202E}田",
        "\u{2066}山",
        "山\u{2069}",
        "山\0田",
        "山\u{B}田",
        "\u{1B}[2J",
        "山\u{7F}",
        "山\u{FFFE}",
        "\u{FFFF}",
        "\u{FDD0}",
        "\u{E000}",
        "\u{10FFFD}",
        "\u{F0001}",
        "山\u{2028}田",
        "שלום",
        "مرحبا",
        "👷",
        "👨\u{200D}👩\u{200D}👧",
        "\u{1F1EF}\u{1F1F5}",
    ];
    let mut rejected = 0;
    for text in forbidden {
        let missing = renderer().fonts().missing(text);
        for content in filled(text) {
            for document in rendered(text, content.clone()) {
                match document {
                    // The document does not print the field, or a face has the characters.
                    Ok(bytes) => assert!(is_sound(&bytes), "{text}"),
                    Err(error) => {
                        rejected += 1;
                        assert!(!missing.is_empty(), "{text:?} should be rendered: {error}");
                        let named = error.contains("U+") || error.contains("not well-formed");
                        assert!(named && !error.contains("若葉"), "{error}");
                    }
                }
            }
        }
    }
    assert!(rejected > 50, "{rejected}");
}

#[test]
fn composes_drops_or_rejects_joining_characters() {
    for text in [
        "\u{3099}",
        "か\u{3099}\u{3099}",
        "e\u{301}\u{302}\u{303}",
        "\u{200D}\u{200D}",
        "葛\u{E0100}\u{E0101}城",
        "\u{FE0F}",
        "\u{AD}\u{200B}",
    ] {
        let missing = renderer().fonts().missing(text);
        for content in filled(text) {
            for document in rendered(text, content) {
                assert!(document.is_ok() || !missing.is_empty(), "{text:?}: {document:?}");
            }
        }
    }
}

#[test]
fn wraps_or_rejects_ten_thousand_characters() {
    for text in ["あ", "漢字", "A", "ｱ", "W W", "、", "「", "々ー", "１", "𠮷"] {
        let text = text.repeat(10_000 / text.chars().count());
        for content in filled(&text) {
            for document in rendered("ten thousand characters", content) {
                match document {
                    Ok(bytes) => assert!(is_sound(&bytes), "ten thousand characters"),
                    Err(error) => assert!(error.contains("line") && !error.contains(&text), "{error:.200}"),
                }
            }
        }
    }
}
