//! Compares `templates/README.md` with the elements.
//!
//! Each element has a section with its attributes, an example that can be drawn, and a picture drawn from
//! that example. `HOSHO_BLESS=1 cargo test -p hosho-pdf manual` draws the pictures again. They are not
//! compared, because smoothing depends on the version of poppler; the tests of the documents compare
//! appearance.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;

use super::elements::{ELEMENTS, find};
use crate::display_list::{Element, Page};
use crate::layout::lay_out;
use crate::picture::Picture;
use crate::tests::{draw_with, info, text_of};
use crate::{Pictures, test_fonts};

struct Example {
    markup: String,
    /// Path of its picture, relative to the manual.
    picture: String,
}

fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../templates")
}

fn manual() -> String {
    fs::read_to_string(folder().join("README.md")).unwrap()
}

/// The elements and the text of each section.
fn sections(manual: &str) -> Vec<(Vec<String>, &str)> {
    let sections = manual.split("\n## ").skip(1).filter(|section| section.starts_with('`'));
    sections
        .map(|section| {
            let (heading, text) = section.split_once('\n').unwrap();
            (heading.split(", ").map(|name| name.trim_matches('`').to_owned()).collect(), text)
        })
        .collect()
}

fn examples(text: &str) -> Vec<Example> {
    let blocks = text.split("```xml\n").skip(1);
    blocks
        .map(|block| {
            let (markup, rest) = block.split_once("\n```\n").unwrap();
            let picture = rest
                .trim_start()
                .strip_prefix("![")
                .and_then(|rest| rest.split_once("]("))
                .and_then(|(_, rest)| rest.split_once(')'));
            let (picture, _) = picture.unwrap_or_else(|| panic!("no picture after {markup}"));
            Example { markup: markup.to_owned(), picture: picture.to_owned() }
        })
        .collect()
}

fn all_examples() -> Vec<Example> {
    sections(&manual()).into_iter().flat_map(|(_, text)| examples(text)).collect()
}

impl Example {
    fn is_page(&self) -> bool {
        self.markup.starts_with("<page")
    }

    fn document(&self) -> String {
        if self.is_page() {
            self.markup.clone()
        } else {
            format!("<page margin=\"20mm 40mm 20mm 40mm\">{}</page>", self.markup)
        }
    }
}

/// A round red seal on a transparent background.
fn pictures() -> Pictures {
    const EDGE: i32 = 240;
    let pixel = |x: i32, y: i32| {
        let (x, y) = (2 * x - EDGE + 1, 2 * y - EDGE + 1);
        let (from, square) = (x * x + y * y, x.abs().max(y.abs()));
        let is_ring = (200 * 200..238 * 238).contains(&from);
        let is_sign = from < 200 * 200
            && ((90..110).contains(&square)
                || (x.abs() < 10 && square < 170)
                || (y.abs() < 10 && square < 170));
        if is_ring || is_sign { [200, 40, 30, 255] } else { [255, 255, 255, 0] }
    };
    let pixels: Vec<u8> = (0..EDGE).flat_map(|y| (0..EDGE).flat_map(move |x| pixel(x, y))).collect();
    let mut file = Vec::new();
    let mut encoder = png::Encoder::new(&mut file, EDGE.unsigned_abs(), EDGE.unsigned_abs());
    encoder.set_color(png::ColorType::Rgba);
    encoder.write_header().unwrap().write_image_data(&pixels).unwrap();
    Pictures::from([("seal".to_owned(), Arc::new(Picture::png(&file).unwrap()))])
}

fn drawn(markup: &str, pictures: &Pictures) -> Vec<u8> {
    draw_with(markup, pictures, &info()).unwrap()
}

fn without_spaces(text: &str) -> String {
    text.chars().filter(|character| !character.is_whitespace()).collect()
}

/// Left, top, right and bottom of the elements of a page.
fn bounds(page: &Page) -> [f64; 4] {
    let mut bounds = [f64::MAX, f64::MAX, 0.0, 0.0];
    let mut extend =
        |x: f64, y: f64| bounds = [bounds[0].min(x), bounds[1].min(y), bounds[2].max(x), bounds[3].max(y)];
    for element in &page.elements {
        match element {
            Element::Text(run) => {
                extend(run.at.0, run.at.1 - run.size);
                extend(run.at.0 + run.width, run.at.1 + 0.2 * run.size);
            }
            Element::Line { from, to, .. } => {
                extend(from.0, from.1);
                extend(to.0, to.1);
            }
            Element::Fill { at, size, .. } | Element::Picture { at, size, .. } => {
                extend(at.0, at.1);
                extend(at.0 + size.0, at.1 + size.1);
            }
            Element::QrCode { at, size, .. } => {
                extend(at.0, at.1);
                extend(at.0 + size, at.1 + size);
            }
        }
    }
    bounds
}

/// Draws an example as PNG: its elements with a margin, or its pages side by side.
fn bless(example: &Example) {
    let pictures = pictures();
    let markup = example.document();
    let pages = lay_out(&markup, test_fonts(), &pictures).unwrap().pages;
    let scratch = tempfile::tempdir().unwrap();
    let file = scratch.path().join("example.pdf");
    fs::write(&file, drawn(&markup, &pictures)).unwrap();
    let mut command = Command::new("pdftoppm");
    if example.is_page() {
        command.args(["-r", "42"]);
    } else {
        let [left, top, right, bottom] = bounds(&pages[0]);
        let pixels = |points: f64| format!("{:.0}", points * 96.0 / 72.0);
        command.args(["-r", "96", "-x", &pixels(left - 8.0), "-y", &pixels(top - 8.0)]);
        command.args(["-W", &pixels(right - left + 16.0), "-H", &pixels(bottom - top + 16.0)]);
    }
    assert!(command.arg(&file).arg(scratch.path().join("page")).status().unwrap().success());
    let shown: Vec<_> = (1..=pages.len())
        .map(|page| read_ppm(&fs::read(scratch.path().join(format!("page-{page}.ppm"))).unwrap()))
        .collect();
    write_png(&shown, example.is_page(), &folder().join(&example.picture));
}

/// Width, height and pixels of a page.
type Raster = (usize, usize, Vec<[u8; 3]>);

fn read_ppm(bytes: &[u8]) -> Raster {
    let mut head = bytes.splitn(4, |byte| *byte == b'\n');
    assert_eq!(head.next(), Some(&b"P6"[..]));
    let size = String::from_utf8(head.next().unwrap().to_vec()).unwrap();
    let (width, height) = size.split_once(' ').unwrap();
    head.next();
    (width.parse().unwrap(), height.parse().unwrap(), head.next().unwrap().as_chunks::<3>().0.to_vec())
}

/// Writes pages side by side, with few colours to keep the files small.
fn write_png(pages: &[Raster], are_framed: bool, path: &Path) {
    const FRAME: [u8; 3] = [170, 170, 170];
    let height = pages.iter().map(|page| page.1).max().unwrap();
    let rounded =
        |pixel: [u8; 3]| pixel.map(|number| u8::try_from((u16::from(number) + 8) / 17 * 17).unwrap());
    let mut rows = vec![Vec::new(); height];
    for (width, tall, pixels) in pages {
        for (y, row) in rows.iter_mut().enumerate() {
            let is_edge = |x: usize| are_framed && (x == 0 || y == 0 || x + 1 == *width || y + 1 == *tall);
            row.extend((0..*width).map(|x| if is_edge(x) { FRAME } else { rounded(pixels[y * width + x]) }));
            if pages.len() > 1 {
                row.extend([[255; 3]; 8]);
            }
        }
    }
    let colors: Vec<[u8; 3]> = rows.iter().flatten().copied().collect::<BTreeSet<_>>().into_iter().collect();
    assert!(colors.len() <= 256, "{} colours", colors.len());
    let pixels: Vec<u8> = rows
        .iter()
        .flatten()
        .map(|pixel| u8::try_from(colors.binary_search(pixel).unwrap()).unwrap())
        .collect();
    let mut file = Vec::new();
    let mut encoder =
        png::Encoder::new(&mut file, u32::try_from(rows[0].len()).unwrap(), u32::try_from(height).unwrap());
    encoder.set_color(png::ColorType::Indexed);
    encoder.set_palette(colors.concat());
    encoder.set_compression(png::Compression::High);
    encoder.write_header().unwrap().write_image_data(&pixels).unwrap();
    fs::create_dir_all(path.parent().unwrap()).unwrap();
    fs::write(path, file).unwrap();
}

#[test]
fn manual_describes_every_element_and_attribute() {
    let manual = manual();
    let sections = sections(&manual);
    let described: BTreeSet<&str> =
        sections.iter().flat_map(|(names, _)| names).map(String::as_str).collect();
    assert_eq!(described, ELEMENTS.iter().map(|spec| spec.name).collect(), "sections and elements differ");
    for (names, text) in &sections {
        let examples = examples(text);
        for spec in names.iter().filter_map(|name| find(name)) {
            for attribute in spec.attributes {
                assert!(
                    text.contains(&format!("`{attribute}`")),
                    "<{}> {attribute} is not described",
                    spec.name
                );
            }
            let is_used = |example: &Example| example.markup.contains(&format!("<{}", spec.name));
            assert!(examples.iter().any(is_used), "no example of <{}>", spec.name);
        }
    }
}

#[test]
fn text_of_every_example_can_be_extracted() {
    let pictures = pictures();
    for example in all_examples() {
        let markup = example.document();
        let pdf = drawn(&markup, &pictures);
        let text = without_spaces(&text_of(&pdf));
        let document = roxmltree::Document::parse(&markup).unwrap();
        for words in document
            .descendants()
            .filter(roxmltree::Node::is_text)
            .map(|node| without_spaces(node.text().unwrap()))
        {
            assert!(text.contains(&words), "{words} is not in {text}");
        }
    }
}

#[test]
fn every_example_has_a_picture() {
    if std::env::var_os("HOSHO_BLESS").is_some() {
        all_examples().iter().for_each(bless);
    }
    let named: BTreeSet<PathBuf> =
        all_examples().iter().map(|example| folder().join(&example.picture)).collect();
    let found: BTreeSet<PathBuf> =
        fs::read_dir(folder().join("elements")).unwrap().map(|entry| entry.unwrap().path()).collect();
    assert_eq!(named, found, "run `HOSHO_BLESS=1 cargo test -p hosho-pdf manual`");
    let mut total = 0;
    for path in named {
        let bytes = fs::read(&path).unwrap();
        assert!(Picture::png(&bytes).is_ok(), "{}", path.display());
        assert!(bytes.len() < 15_000, "{}: {} bytes", path.display(), bytes.len());
        total += bytes.len();
    }
    assert!(total < 300_000, "{total}");
}

#[test]
fn copies_spaced_text_without_spaces() {
    let markup = "<page><p tracking=\"1em\">御見積書</p><table><row><label spread=\"6em\">工事名</label><value>橋</value></row></table></page>";
    let text = text_of(&drawn(markup, &Pictures::new()));
    assert!(
        text.lines().any(|line| line == "御見積書") && text.lines().any(|line| line.starts_with("工事名")),
        "{text}"
    );
}
