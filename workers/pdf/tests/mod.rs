//! Whole documents, read back with other programs.

mod faults;
mod hostile_metadata;
mod seals;

use std::io::Write as _;
use std::process::Command;

use crate::display_list::{Element, Owner};
use crate::layout::lay_out;
use crate::lines::{never_first, never_last};
use crate::{GlyphCache, Info, Materials, PdfError, Pictures, draw, test_fonts};

pub(crate) fn info() -> Info {
    let created = chrono::NaiveDate::from_ymd_opt(2026, 7, 1).unwrap().and_hms_opt(1, 2, 3).unwrap();
    Info {
        title: "お知らせ (試験)".to_owned(),
        author: "保証株式会社".to_owned(),
        subject: "subject".to_owned(),
        created,
        number: "31074-00001M".to_owned(),
        revision: 0,
        attachment: None,
    }
}

fn page(content: &str) -> String {
    format!("<page margin=\"20mm\">{content}</page>")
}

pub(crate) fn draw_with(markup: &str, pictures: &Pictures, info: &Info) -> Result<Vec<u8>, PdfError> {
    draw(markup, Materials { fonts: test_fonts(), pictures, glyph_cache: &GlyphCache::default() }, info)
}

fn made(markup: &str, info: &Info) -> Result<Vec<u8>, PdfError> {
    draw_with(markup, &Pictures::new(), info)
}

fn drawn(content: &str) -> Vec<u8> {
    made(&page(content), &info()).unwrap()
}

/// The standard output of a program that reads a document.
///
/// Fails if the program fails.
fn tool(program: &str, arguments: &[&str], pdf: &[u8]) -> String {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("document.pdf");
    std::fs::write(&path, pdf).unwrap();
    let arguments: Vec<String> =
        arguments.iter().map(|argument| argument.replace("FILE", path.to_str().unwrap())).collect();
    let output = Command::new(program).args(&arguments).current_dir(folder.path()).output().unwrap();
    let shown = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(output.status.success(), "{program}: {shown}{}", String::from_utf8_lossy(&output.stderr));
    shown
}

/// Whether qpdf reads a document without an error or a warning.
fn is_sound(pdf: &[u8]) -> bool {
    let mut file = tempfile::NamedTempFile::new().unwrap();
    file.write_all(pdf).unwrap();
    Command::new("qpdf").arg("--check").arg(file.path()).output().unwrap().status.success()
}

/// The error of markup that cannot be drawn.
fn error(content: &str) -> String {
    made(&page(content), &info()).err().map(|error| error.to_string()).unwrap_or_default()
}

pub(crate) fn text_of(pdf: &[u8]) -> String {
    // In raw order: otherwise pdftotext takes a wide space for the gap between two columns.
    tool("pdftotext", &["-raw", "-enc", "UTF-8", "FILE", "-"], pdf)
}

#[test]
fn text_survives_the_round_trip() {
    let lines = [
        "髙橋﨑𠮷槗邊濵祥\u{FA1A}神\u{FA19}",
        "長⻑〜～−－‐-・･ｱｲｳガが",
        "＜b＞{{name}}%s\\n()[]\\(\\)",
        "令和8年7月1日　１２，３４５，０００円",
        "①②③㈱㈲℡〒№",
        "ABC xyz 0123456789 !\"#$'*+,./:;=?@^_`|~",
    ];
    let content: String = lines.iter().flat_map(|line| ["<p align=\"left\">", line, "</p>"]).collect();
    let pdf = drawn(&content);
    let back: Vec<String> = text_of(&pdf)
        .lines()
        .filter(|line| !line.is_empty())
        .map(|line| line.trim_end_matches('\u{c}').to_owned())
        .collect();
    // pdftotext writes U+3000 as a space.
    assert_eq!(back[..lines.len()], lines.map(|line| line.replace('\u{3000}', " ")));
    let escaped = drawn("<p>&lt;b&gt; {{ }} &amp;amp; &#34;</p>");
    assert_eq!(text_of(&escaped).trim(), "<b> {{ }} &amp; \"");
}

#[test]
fn draws_composed_text_without_ignorable_characters() {
    // The face has a glyph for 葛 with this selector, but none for 飾 with any.
    let drawn = drawn("<p>か\u{3099}\u{200B}葛\u{E0100}\u{AD}飾\u{FE0F}\u{E01EF}</p>");
    assert_eq!(text_of(&drawn).trim(), "が葛\u{E0100}飾");
}

#[test]
fn embeds_fonts_as_subsets() {
    let pdf = drawn(
        "<heading>題</heading><p>明朝𠮷<em>ゴシック</em></p><qr data=\"https://example.jp/?number=1\" size=\"30mm\"/><key>Abc3Def6GHj9</key>",
    );
    tool("qpdf", &["--check", "FILE"], &pdf);
    let listed = tool("pdffonts", &["FILE"], &pdf);
    let fonts: Vec<&str> = listed.lines().skip(2).collect();
    assert_eq!(fonts.len(), 3, "{listed}");
    for font in fonts {
        let columns: Vec<&str> = font.split_whitespace().collect();
        assert_eq!(columns[0].find('+'), Some(6), "{listed}");
        assert_eq!(
            columns[columns.len() - 5..columns.len() - 2],
            ["yes", "yes", "yes"],
            "emb sub uni: {listed}"
        );
    }
    assert!(pdf.len() < 40_000, "{}", pdf.len());
    let about = tool("pdfinfo", &["FILE"], &pdf);
    for expected in ["お知らせ (試験)", "保証株式会社", "PDF version:     1.7", "A4"] {
        assert!(about.contains(expected), "{about}");
    }
}

#[test]
fn copies_a_key_as_one_word() {
    let pdf =
        drawn("<table><row><label>認証キー</label><value><key>Abc3Def6GHj9</key></value></row></table>");
    assert!(
        text_of(&pdf).lines().any(|line| line == "Abc3Def6GHj9" || line.ends_with(" Abc3Def6GHj9")),
        "{}",
        text_of(&pdf)
    );
}

#[test]
fn scanner_reads_the_qr_code() {
    let pdf = drawn(
        "<qr data=\"https://registry.example.jp/open?number=31074-00001M\" size=\"25mm\" align=\"right\"/>",
    );
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("code.pdf");
    std::fs::write(&path, &pdf).unwrap();
    let image = folder.path().join("code");
    assert!(
        Command::new("pdftoppm")
            .args(["-r", "150", "-png"])
            .arg(&path)
            .arg(&image)
            .status()
            .unwrap()
            .success()
    );
    let image = folder.path().join("code-1.png");
    let output = Command::new("zbarimg").args(["-q", "--raw"]).arg(&image).output().unwrap();
    assert_eq!(
        String::from_utf8_lossy(&output.stdout).trim(),
        "https://registry.example.jp/open?number=31074-00001M"
    );
}

#[test]
fn same_document_has_the_same_bytes() {
    let content = "<p>同じ内容𠮷</p><qr data=\"x\"/>";
    let first = drawn(content);
    drawn("<p>別の内容</p>");
    assert_eq!(first, drawn(content));
    let later = Info { created: info().created + chrono::TimeDelta::days(1), ..info() };
    assert_ne!(first, made(&page(content), &later).unwrap());
}

#[test]
fn errors_name_what_cannot_be_drawn() {
    assert_eq!(error("<p>甲\u{10FFFD}</p>"), "no configured font has a glyph for \u{10FFFD} (U+10FFFD)");
    assert_eq!(error("<p>甲\u{202E}乙</p>"), "character U+202E is not allowed in a document");
    assert_eq!(error("<p>甲</p>\n<blink/>"), "markup line 2, column 1: unknown element <blink>");
    assert_eq!(error("<p>甲</p>\n<p shadow=\"1\"/>"), "markup line 2, column 1: <p> has no attribute shadow");
    assert!(matches!(made(&page("<p>\u{B}</p>"), &info()), Err(PdfError::NotXml { .. })));
}

#[test]
fn rejects_what_does_not_fit() {
    let tall = "<p>甲</p>".repeat(80);
    assert!(error(&format!("<box>{tall}</box>")).contains("taller than the page"));
    assert!(
        error("<qr data=\"x\" size=\"300mm\"/>").contains("the <qr> is 850.4pt wide; 481.9pt are available")
    );
    assert!(
        error("<table widths=\"150mm 150mm\"><row><label>甲</label><value>乙</value></row></table>")
            .contains("do not fit: they take 850.4pt of 481.9pt")
    );
    assert!(error("<p size=\"600pt\">甲</p>").contains("narrower than a glyph of 600.0pt"));
    assert!(error(&"<p>甲</p>".repeat(5000)).contains("longer than 50 pages"));
    assert!(error(&format!("<qr data=\"{}\"/>", "a".repeat(5000))).contains("(5000 bytes) as a QR code"));
}

#[test]
fn long_document_stays_within_its_pages() {
    let sentence = "受注者は、「電子保証」（認証キーを含む。）の発行を受けたときは、工期（令和8年7月1日から令和9年3月31日まで）の始期までに、\
                    発注者（○○市長）へＡＢＣ工区＃３・第１２，３４５号～第１２，３９９号を提出してください。http://registry.example.jp/a/very/long/path/that/does/not/break ";
    let row = format!("<row><label>工事名々ー、</label><value>{sentence}</value></row>");
    let content = format!(
        "<p indent=\"1em\">{0}</p><list marker=\"circled\"><item>{0}</item><item>{0}</item></list><table border=\"grid\">{1}</table><box><p>{0}</p></box>\
         <columns widths=\"40% *\"><column><p>{2}</p></column><column><p align=\"right\">{2}</p></column></columns>",
        sentence.repeat(6),
        row.repeat(20),
        sentence
    );
    let pages = lay_out(&page(&content), test_fonts(), &Pictures::new()).unwrap().pages;
    assert!(pages.len() > 2, "{}", pages.len());
    let margin = 20.0 * 72.0 / 25.4;
    let mut lines = 0;
    for page in &pages {
        let runs: Vec<_> = page
            .elements
            .iter()
            .filter_map(|element| match element {
                Element::Text(run) if run.owner != Owner::Footer => Some(run),
                _ => None,
            })
            .collect();
        assert!(!runs.is_empty());
        for run in &runs {
            // The blank of an opening bracket hangs out of the line.
            let blank = if run.glyphs[0].character.is_ascii() || !never_last(run.glyphs[0].character) {
                0.0
            } else {
                run.size / 2.0
            };
            assert!(
                run.at.0 + blank >= margin - 0.01 && run.at.0 + run.width <= page.size.0 - margin + 0.01,
                "{run:?}"
            );
            assert!(run.at.1 >= margin && run.at.1 <= page.size.1 - margin, "{run:?}");
        }
        for line in
            runs.chunk_by(|one, other| (one.at.1 - other.at.1).abs() < 0.001 && one.owner == other.owner)
        {
            lines += 1;
            let text: String = line.iter().map(|run| run.text()).collect();
            assert!(!text.starts_with(never_first), "{text}");
            assert!(!text.ends_with(never_last), "{text}");
        }
    }
    assert!(lines > 150, "{lines}");
    let pdf = made(&page(&content), &info()).unwrap();
    tool("qpdf", &["--check", "FILE"], &pdf);
    assert!(text_of(&pdf).contains(&format!("1 / {}", pages.len())));
}

#[test]
fn draws_text_without_missing_characters() {
    for text in [
        "髙﨑𠮷槗",
        "\u{200B}\u{FE0F}",
        "か\u{3099}",
        "a\u{301}e",
        "\u{FA4C}\u{2F800}",
        "ℵ☃♨",
        "\u{10FFFD}",
        "\u{E000}",
        "\u{202A}",
    ] {
        let drawable = test_fonts().missing(text).is_empty();
        assert_eq!(made(&page(&format!("<p>{text}</p>")), &info()).is_ok(), drawable, "{text:?}");
    }
}

#[test]
fn copies_no_spaces_from_gaps_and_justification() {
    let sentence = "受注者（以下「乙」という。）は、発注者（以下「甲」という。）へPDFファイルをWakabaに提出し、図3のとおり「認証キー」、「番号」を\
                    入力する。なお、https://registry.example.jp/open?number=31074-00001Mを参照し、（（ＪＲ線））・12,345,000円・3か月以内の『（XML、CSV）』を\
                    ｶﾞｲﾄﾞA〔B〕で５－６番地へWakaba-Ohashiの甲‐乙を送ること。";
    let column = |mm: u32, align| {
        format!("<columns widths=\"{mm}mm\"><column><p align=\"{align}\">{sentence}</p></column></columns>")
    };
    let content: String = (10..40)
        .flat_map(|mm| ["justify", "left", "center", "right"].map(|align| column(mm * 4, align)))
        .collect();
    let pdf = drawn(&content);
    // In drawing order, and in the reading order that pdftotext infers: then it joins lines at hyphens.
    for back in [text_of(&pdf), tool("pdftotext", &["-enc", "UTF-8", "FILE", "-"], &pdf)] {
        let back: String = back.split(['\n', '\u{c}']).filter(|line| !line.contains(" / ")).collect();
        assert_eq!(back, sentence.repeat(30 * 4));
    }
}
