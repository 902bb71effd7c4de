//! Compares every page as it is drawn now with its reviewed picture.
//!
//! `HOSHO_BLESS=1 cargo test --lib documents::pictures` takes what is drawn now as reviewed: look at every
//! file that changed in `workers/documents/pictures/` before it is committed. A failure leaves the page as it
//! is and a picture of the difference (red on the pale page) in `target/pictures/`.
//!
//! Pages are kept small, 75 dots per inch in 16 greys. Rasterisers smooth edges in slightly different ways,
//! so a dot may be off by [`SHADES`], and a few may be off by more; the smallest digit of the smallest print,
//! changed, is more than that, which a test shows. Comparing text and geometry alone was rejected: it sees no
//! seal, no border, and no glyph of a wrong face.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::process::Command;

use rayon::prelude::*;

use super::samples;
use super::tests::{Drawn, all, notice_of};

const RESOLUTION: &str = "75";

/// How many of the 16 greys a smoothed dot may be off.
const SHADES: u8 = 2;

/// How many dots of a page (one has 544,000) may be off by more.
const STRAYS: usize = 2;

/// The most that all pictures may take, bytes.
const MOST_BYTES: u64 = 1_500_000;

/// A page in 16 greys, 0 is black.
#[derive(PartialEq, Eq)]
struct Raster {
    width: usize,
    shades: Vec<u8>,
}

impl Raster {
    /// Reads what `pdftoppm -gray` writes: `P5 width height 255`, and a byte per dot.
    fn pgm(bytes: &[u8]) -> Self {
        let mut ends =
            bytes.iter().enumerate().filter(|(_, byte)| byte.is_ascii_whitespace()).map(|(at, _)| at);
        let end = ends.nth(3).unwrap();
        let header: Vec<&str> =
            std::str::from_utf8(&bytes[..end]).unwrap().split_ascii_whitespace().collect();
        assert!(header[0] == "P5" && header[3] == "255", "{header:?}");
        Self {
            width: header[1].parse().unwrap(),
            shades: bytes[end + 1..]
                .iter()
                .map(|grey| u8::try_from((u16::from(*grey) + 8) / 17).unwrap())
                .collect(),
        }
    }

    fn read(path: &Path) -> Self {
        let mut decoder = png::Decoder::new(std::io::BufReader::new(std::fs::File::open(path).unwrap()));
        decoder.set_transformations(png::Transformations::IDENTITY);
        let mut reader = decoder.read_info().unwrap();
        let mut packed = vec![0; reader.output_buffer_size().unwrap()];
        let info = reader.next_frame(&mut packed).unwrap();
        assert_eq!(
            (info.color_type, info.bit_depth),
            (png::ColorType::Grayscale, png::BitDepth::Four),
            "{}",
            path.display()
        );
        let width = info.width as usize;
        let rows = packed.chunks(info.line_size);
        let shades =
            rows.flat_map(|row| row.iter().flat_map(|byte| [byte >> 4, byte & 15]).take(width)).collect();
        Self { width, shades }
    }

    fn height(&self) -> usize {
        self.shades.len() / self.width
    }

    fn write(&self, path: &Path) {
        let pack = |row: &[u8]| {
            row.chunks(2).map(|pair| pair[0] << 4 | pair.get(1).unwrap_or(&0)).collect::<Vec<u8>>()
        };
        let packed: Vec<u8> = self.shades.chunks(self.width).flat_map(pack).collect();
        save(path, (self.width, self.height()), png::ColorType::Grayscale, png::BitDepth::Four, &packed);
    }

    /// Whether a dot is off by more than smoothing explains.
    fn strays(&self, other: &Self) -> Vec<bool> {
        self.shades.iter().zip(&other.shades).map(|(one, other)| one.abs_diff(*other) > SHADES).collect()
    }

    /// How many dots are off; all of them when the sizes differ.
    fn difference(&self, other: &Self) -> usize {
        if self.width != other.width || self.shades.len() != other.shades.len() {
            return self.shades.len();
        }
        self.strays(other).into_iter().filter(|stray| *stray).count()
    }
}

fn save(
    path: &Path,
    (width, height): (usize, usize),
    color: png::ColorType,
    depth: png::BitDepth,
    data: &[u8],
) {
    let file = std::io::BufWriter::new(std::fs::File::create(path).unwrap());
    let mut encoder = png::Encoder::new(file, u32::try_from(width).unwrap(), u32::try_from(height).unwrap());
    encoder.set_color(color);
    encoder.set_depth(depth);
    encoder.set_compression(png::Compression::High);
    encoder.set_filter(png::Filter::NoFilter);
    encoder.write_header().unwrap().write_image_data(data).unwrap();
}

fn pages(pdf: &[u8]) -> Vec<Raster> {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("paper.pdf");
    std::fs::write(&path, pdf).unwrap();
    let status = Command::new("pdftoppm")
        .args(["-r", RESOLUTION, "-gray"])
        .arg(&path)
        .arg(folder.path().join("page"))
        .status()
        .unwrap();
    assert!(status.success());
    let mut pages: Vec<PathBuf> =
        std::fs::read_dir(folder.path()).unwrap().map(|entry| entry.unwrap().path()).collect();
    pages.retain(|path| path.extension().is_some_and(|extension| extension == "pgm"));
    pages.sort();
    pages.iter().map(|path| Raster::pgm(&std::fs::read(path).unwrap())).collect()
}

fn reviewed() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("workers/documents/pictures")
}

/// Names of the pictures in the folder.
fn on_disk() -> BTreeSet<String> {
    std::fs::read_dir(reviewed())
        .unwrap()
        .map(|entry| entry.unwrap().file_name().to_string_lossy().into_owned())
        .collect()
}

/// Writes the page and its difference to `target/pictures`.
fn show(name: &str, drawn: &Raster, reviewed: Option<&Raster>) -> String {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("target/pictures");
    std::fs::create_dir_all(&folder).unwrap();
    let path = folder.join(name);
    drawn.write(&path);
    let Some(reviewed) = reviewed
        .filter(|reviewed| (reviewed.width, reviewed.shades.len()) == (drawn.width, drawn.shades.len()))
    else {
        return format!("{name}: nothing of this size was reviewed; see {}", path.display());
    };
    let difference = path.with_extension("difference.png");
    let pale = |shade: u8| 192 + shade * 4;
    let dots = drawn.strays(reviewed).into_iter().zip(&drawn.shades);
    let data: Vec<u8> =
        dots.flat_map(|(stray, shade)| if stray { [200, 0, 0] } else { [pale(*shade); 3] }).collect();
    save(&difference, (drawn.width, drawn.height()), png::ColorType::Rgb, png::BitDepth::Eight, &data);
    format!(
        "{name}: {} dots differ; see {} and {}",
        drawn.difference(reviewed),
        path.display(),
        difference.display()
    )
}

#[test]
fn pages_match_the_reviewed_pictures() {
    let drawn: BTreeMap<String, Raster> = all()
        .par_iter()
        .flat_map_iter(|Drawn { name, pdf }| {
            (1..).zip(pages(pdf)).map(move |(number, page)| (format!("{name}-{number}.png"), page))
        })
        .collect();
    if std::env::var_os("HOSHO_BLESS").is_some() {
        for gone in on_disk().iter().filter(|name| !drawn.contains_key(*name)) {
            std::fs::remove_file(reviewed().join(gone)).unwrap();
        }
        for (name, page) in &drawn {
            let path = reviewed().join(name);
            if !path.exists() || Raster::read(&path) != *page {
                page.write(&path);
            }
        }
    }
    let mut faults: Vec<String> = on_disk()
        .iter()
        .filter(|name| !drawn.contains_key(*name))
        .map(|name| format!("{name}: no page is drawn"))
        .collect();
    for (name, page) in &drawn {
        let path = reviewed().join(name);
        let kept = path.exists().then(|| Raster::read(&path));
        if kept.as_ref().is_none_or(|kept| kept.difference(page) > STRAYS) {
            faults.push(show(name, page, kept.as_ref()));
        }
    }
    assert!(faults.is_empty(), "{} of {} pages differ:\n{}", faults.len(), drawn.len(), faults.join("\n"));
    let size: u64 =
        on_disk().iter().map(|name| std::fs::metadata(reviewed().join(name)).unwrap().len()).sum();
    assert!(size <= MOST_BYTES, "the pictures take {size} bytes");
}

/// The telephone number at the foot of a notice is the smallest print.
/// The test sees any digit in place of another there.
#[test]
fn detects_a_changed_digit() {
    let of = |digit: char| {
        let mut content = samples::single();
        content.branch.telephone = format!("03-0000-000{digit}");
        pages(&notice_of(&content)).remove(0)
    };
    let drawn: Vec<(char, Raster)> = ('0'..='9').map(|digit| (digit, of(digit))).collect();
    for (one, page) in &drawn {
        for (other, changed) in drawn.iter().filter(|(other, _)| other != one) {
            let strays = page.difference(changed);

            assert!(strays > STRAYS, "{one} and {other} differ in {strays} dots");
        }
    }
}
