//! Texts that somebody sends on purpose: escaped, refused or wrapped, and the file stays what it is.

use std::{sync::mpsc, time::Duration};

use chrono::NaiveDateTime;
use hosho_pdfa::assert_clean;
use hosho_schema::snapshots::Certificate;

use super::{KEY, REGISTRY, certificate, is_sound, press};

/// Longer than any document takes: it only keeps a hang from hanging the tests.
const LONGEST: Duration = Duration::from_mins(1);

/// Does something on a thread of its own and fails when it never ends.
#[track_caller]
fn within<T: Send + 'static>(name: &str, task: impl FnOnce() -> T + Send + 'static) -> T {
    let (sender, receiver) = mpsc::channel();
    std::thread::spawn(move || sender.send(task()));
    receiver.recv_timeout(LONGEST).unwrap_or_else(|_| panic!("{name} does not come to an end, or panics"))
}

/// Certificates with a text in one field that others fill in, each.
fn filled(text: &str) -> Vec<Certificate> {
    let places: [fn(&mut Certificate) -> &mut String; 5] = [
        |certificate| &mut certificate.works.name,
        |certificate| &mut certificate.principal.company.name,
        |certificate| &mut certificate.principal.company.address,
        |certificate| certificate.bank.get_or_insert_default(),
        |certificate| certificate.principal.joint_venture.get_or_insert_default(),
    ];
    let filled = |place: fn(&mut Certificate) -> &mut String| {
        let mut certificate = certificate();
        text.clone_into(place(&mut certificate));
        certificate
    };
    places.into_iter().map(filled).collect()
}

/// Draws notice and certificate of a content: what becomes of each, once it is clean.
fn drawn(name: &str, content: Certificate) -> Vec<Result<Vec<u8>, String>> {
    let papers = within(name, move || {
        let created = NaiveDateTime::default();
        [
            press().notice(&content, KEY, REGISTRY, created),
            press().certificate(&content, &hosho_schema::snapshots::canonical(&content), created),
        ]
    });
    let judged = papers.map(|paper| match paper {
        Ok(bytes) => {
            assert_clean(name, &bytes);
            Ok(bytes)
        }
        Err(error) => Err(hosho::fault::chain(&error)),
    });
    judged.into()
}

#[test]
fn what_means_something_to_a_machine_is_printed() {
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
            for paper in drawn(text, content) {
                let bytes = paper.unwrap_or_else(|error| panic!("{text}: {error}"));
                assert!(is_sound(&bytes), "{text}");
            }
        }
    }
}

#[test]
fn what_would_show_one_thing_and_mean_another_is_refused() {
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
    let mut refused = 0;
    for text in forbidden {
        let missing = press().fonts().missing(text);
        for content in filled(text) {
            for paper in drawn(text, content.clone()) {
                match paper {
                    // A field may not stand in a document of this kind, or a face has the letters after all.
                    Ok(bytes) => assert!(is_sound(&bytes), "{text}"),
                    Err(error) => {
                        refused += 1;
                        assert!(!missing.is_empty(), "{text:?} was to be drawn: {error}");
                        let named = error.contains("U+") || error.contains("not well-formed");
                        assert!(named && !error.contains("若葉"), "{error}");
                    }
                }
            }
        }
    }
    assert!(refused > 50, "{refused}");
}

#[test]
fn letters_that_join_others_are_composed_dropped_or_refused() {
    for text in [
        "\u{3099}",
        "か\u{3099}\u{3099}",
        "e\u{301}\u{302}\u{303}",
        "\u{200D}\u{200D}",
        "葛\u{E0100}\u{E0101}城",
        "\u{FE0F}",
        "\u{AD}\u{200B}",
    ] {
        let missing = press().fonts().missing(text);
        for content in filled(text) {
            for paper in drawn(text, content) {
                assert!(paper.is_ok() || !missing.is_empty(), "{text:?}: {paper:?}");
            }
        }
    }
}

#[test]
fn ten_thousand_letters_are_wrapped_or_told_to_be_too_many() {
    for text in ["あ", "漢字", "A", "ｱ", "W W", "、", "「", "々ー", "１", "𠮷"] {
        let text = text.repeat(10_000 / text.chars().count());
        for content in filled(&text) {
            for paper in drawn("ten thousand letters", content) {
                match paper {
                    Ok(bytes) => assert!(is_sound(&bytes), "ten thousand letters"),
                    Err(error) => assert!(error.contains("line") && !error.contains(&text), "{error:.200}"),
                }
            }
        }
    }
}
