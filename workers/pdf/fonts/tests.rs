//! Chains of faces, and faults of a configuration.

use std::path::PathBuf;
use std::sync::OnceLock;

use super::*;

/// The default fonts, loaded once for all tests.
pub(crate) fn fonts() -> &'static Fonts {
    static FONTS: OnceLock<Fonts> = OnceLock::new();
    FONTS.get_or_init(|| Fonts::load(&FontPaths::system().unwrap()).unwrap())
}

#[test]
fn draws_variant_kanji() {
    assert_eq!(fonts().missing("髙﨑𠮷槗邊邉濵神\u{FA19}①～〜−－"), Vec::<char>::new());
    let (mincho, _) = fonts().find(Typeface::Mincho, '髙', None).unwrap();
    let (fallback, _) = fonts().find(Typeface::Mincho, '𠮷', None).unwrap();
    assert_eq!(fonts().face(mincho).name, "IPAexMincho");
    assert_eq!(fonts().face(fallback).name, "VL-Gothic-Regular");
}

#[test]
fn missing_lists_each_character_once() {
    assert_eq!(
        fonts().missing("山\u{10FFFD}田\u{E0100}\u{200B}\u{E123}\u{10FFFD}\u{000B}\u{202E}"),
        vec!['\u{10FFFD}', '\u{E123}', '\u{000B}', '\u{202E}']
    );
}

#[test]
fn plain_characters_need_no_lookup() {
    let fonts = fonts();
    let is_plain = |character: &char| {
        let code = u32::from(*character);
        fonts.plain[(code / 64) as usize] >> (code % 64) & 1 == 1
    };
    let plain: Vec<char> = (0..PLAIN).filter_map(char::from_u32).filter(is_plain).collect();
    assert!(plain.len() > 12_000, "{} characters", plain.len());
    for &character in &plain {
        assert_eq!(fonts.look_up_missing(&String::from(character)), Vec::<char>::new());
    }
    // Each is its own composition, so any sequence of them is too.
    let all: String = plain.iter().chain(plain.iter().rev()).collect();
    assert_eq!(normalize::compose(&all), all);
    assert_eq!(fonts.look_up_missing(&all), Vec::<char>::new());
    for character in ['髙', '﨑', '𠮷', '槗', 'A', ' ', '　', '～', 'ー', '①'] {
        assert!(is_plain(&character), "{character}");
    }
    for character in
        ['\u{3099}', '\u{301}', '\u{e000}', '\u{200b}', '\u{fe00}', '\u{fa19}', '\u{0}', '\u{12000}']
    {
        assert!(!is_plain(&character), "{character:?}");
    }
}

#[test]
fn errors_name_missing_and_broken_files() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("none.ttf");
    let paths = FontPaths { mincho: vec![path.clone().into()], gothic: vec![path.clone().into()] };
    assert!(matches!(Fonts::load(&paths), Err(FontError::Read { .. })));
    std::fs::write(&path, b"not a font").unwrap();
    let error = Fonts::load(&paths).unwrap_err();
    assert!(error.to_string().contains("none.ttf"), "{error}");
    assert!(matches!(
        Fonts::load(&FontPaths { mincho: vec![], gothic: vec![] }),
        Err(FontError::Empty { typeface: "mincho" })
    ));
}

#[test]
fn identity_depends_on_the_order_of_faces() {
    let paths = FontPaths::system().unwrap();
    let swapped = FontPaths { mincho: paths.gothic.clone(), gothic: paths.mincho.clone() };
    assert_eq!(fonts().sha256().len(), 64);
    assert_ne!(fonts().sha256(), Fonts::load(&swapped).unwrap().sha256());
}

#[test]
fn finds_common_glyphs_of_characters_and_marks() {
    let fonts = fonts();
    let find = |character, mark| fonts.find(Typeface::Mincho, character, Some(mark));
    let name = |character, mark| find(character, mark).map(|(face, _)| fonts.face(face).name.as_str());
    assert_eq!(name('か', '\u{309A}'), Some("IPAexMincho"));
    assert_eq!(name('叉', '\u{E0100}'), Some("IPAexMincho"));
    assert_eq!(name('兎', '\u{E0103}'), Some("VL-Gothic-Regular"), "only the fallback has it");
    assert_eq!(name('葛', '\u{E01EF}'), None);
    assert_ne!(
        find('叉', '\u{E0100}').map(|(_, glyph)| glyph),
        fonts.find(Typeface::Mincho, '叉', None).map(|(_, glyph)| glyph)
    );
    for mark in ['\u{309A}', '\u{300}', '\u{301}', '˥', '˩', '\u{FE00}', '\u{E0100}'] {
        assert!(fonts.has_marks(mark), "{mark:?}");
    }
    for other in ['\0', 'a', '`', '´', '\u{302}', 'か', '゜', '字', '\u{FE0F}', '\u{E01EF}', '𠮷'] {
        assert!(!fonts.has_marks(other), "{other:?}");
    }
}

#[test]
fn missing_agrees_with_drawing() {
    let missing = |text| fonts().missing(text).into_iter().collect::<String>();
    // Composed, with a common glyph, and with a selector. A selector without effect is dropped.
    assert_eq!(missing("か\u{3099}か\u{309A}ɚ\u{301}˩˥侮\u{FE00}兎\u{E0103}葛\u{E01EF}"), "");
    // Neither composed nor with a common glyph, and no face has the mark alone.
    assert!(fonts().find(Typeface::Mincho, '\u{1DC4}', None).is_none());
    assert_eq!(missing("a\u{1DC4}か\u{1DC4}"), "\u{1DC4}");
    // A mark that a face has alone is drawn beside its letter.
    assert!(fonts().find(Typeface::Mincho, '\u{309A}', None).is_some());
    assert_eq!(missing("山\u{309A}"), "");
    assert_eq!(missing("\u{10FFFD}\u{309A}\u{FE00}"), "\u{10FFFD}");
}

/// A face may have a glyph for a character with a selector, but not for it alone.
#[test]
fn character_drawn_only_with_its_mark_is_present() {
    let system = FontPaths::system().unwrap();
    let mut bytes = std::fs::read(&system.mincho[0]).unwrap();
    let face = Face::parse(&bytes).unwrap();
    // The entry of 侮 and its selector is assigned to a kanji that the face lacks.
    let stray = ('\u{4E00}'..='\u{9FA5}').find(|kanji| face.glyph_id(*kanji, None).is_none()).unwrap();
    let entry = |kanji: char| {
        [&u32::from(kanji).to_be_bytes()[1..], &face.glyph_id('侮', Some('\u{FE00}')).unwrap().to_be_bytes()]
            .concat()
    };
    let at = bytes.windows(5).position(|window| window == entry('侮')).unwrap();
    bytes[at..at + 5].copy_from_slice(&entry(stray));
    let folder = tempfile::tempdir().unwrap();
    let file = FontFile::from(folder.path().join("stray.ttf"));
    std::fs::write(&file, bytes).unwrap();
    let fonts = Fonts::load(&FontPaths { mincho: vec![file.clone()], gothic: vec![file] }).unwrap();
    assert_eq!(fonts.missing(&format!("{stray}")), [stray]);
    assert_eq!(fonts.missing(&format!("山{stray}\u{FE00}田")), Vec::<char>::new());
    assert_eq!(fonts.missing(&format!("{stray}山\u{FE00}侮\u{FE00}")), [stray]);
}

#[test]
fn finds_fonts_by_file_and_by_name() {
    let system = FontPaths::system().unwrap();
    let find = |mincho: &str, gothic: &str| FontPaths::find(&[mincho.to_owned()], &[gothic.to_owned()]);
    let named = find("IPAexMincho", "ipaexゴシック").unwrap();
    assert_eq!((&named.mincho[0], &named.gothic[0]), (&system.mincho[0], &system.gothic[0]));
    assert_eq!(find("VL-Gothic-Regular", "VL Gothic").unwrap().gothic[0], system.gothic[1]);
    let files = find("/fonts/NotoSansCJK-Regular.ttc#0", "a#b.otf").unwrap();
    assert_eq!(
        files.mincho,
        [FontFile { path: PathBuf::from("/fonts/NotoSansCJK-Regular.ttc"), face: Some(0) }]
    );
    assert_eq!(files.mincho[0].to_string(), "/fonts/NotoSansCJK-Regular.ttc#0");
    assert_eq!(files.gothic, [FontFile { path: PathBuf::from("a#b.otf"), face: None }]);
    let problem = find("IPAex Minchou", "IPAexGothic").unwrap_err().to_string();
    assert!(
        problem.starts_with("no installed font is named \"IPAex Minchou\"; similar names: IPAexMincho"),
        "{problem}"
    );
    let problem = find("Zzyzx", "IPAexGothic").unwrap_err().to_string();
    assert!(problem.contains("none has a similar name"), "{problem}");
    assert_eq!(
        FontPaths::find(&[], &["IPAexMincho".to_owned()]).unwrap().mincho,
        system.mincho,
        "an empty list is the default"
    );
    assert_eq!(FontPaths::find(&[], &[]).unwrap(), system);
}

#[test]
fn prefers_the_regular_face_of_the_first_folder() {
    let system = FontPaths::system().unwrap();
    let folders = [tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap()];
    let regular = std::fs::read(&system.mincho[0]).unwrap();
    let mut bold = regular.clone();
    let directory = 12..12 + 16 * usize::from(bold[5]);
    let entry = bold[directory].as_chunks::<16>().0.iter().find(|entry| entry.starts_with(b"OS/2")).unwrap();
    let weight = u32::from_be_bytes(entry[8..12].try_into().unwrap()) as usize + 4;
    bold[weight..weight + 2].copy_from_slice(&700_u16.to_be_bytes());
    std::fs::create_dir(folders[0].path().join("within")).unwrap();
    for (path, bytes) in [
        ("a.ttf", &bold),
        ("within/b.TTF", &regular),
        ("c.ttf", &b"no font"[..].to_vec()),
        ("d.ttf", &regular[..100].to_vec()),
    ] {
        std::fs::write(folders[0].path().join(path), bytes).unwrap();
    }
    std::fs::write(folders[1].path().join("a.ttf"), &regular).unwrap();
    let paths = folders.each_ref().map(|folder| folder.path().to_owned());
    let find = |name: &str| {
        FontPaths::find_in(&[name.to_owned()], &[name.to_owned()], &paths).unwrap().mincho.remove(0).path
    };
    assert_eq!(find("IPAex明朝"), paths[0].join("within/b.TTF"));
    assert_eq!(find("ipaexmincho"), paths[0].join("a.ttf"), "a PostScript name ignores the weight");
}

#[test]
fn refuses_to_read_devices_and_huge_files() {
    let folder = tempfile::tempdir().unwrap();
    let problem = |path: &std::path::Path| {
        let files = vec![FontFile::from(path.to_owned())];
        Fonts::load(&FontPaths { mincho: files.clone(), gothic: files }).unwrap_err().to_string()
    };
    assert!(problem(folder.path()).ends_with("it is not a regular file"));
    assert!(problem("/dev/zero".as_ref()).ends_with("it is not a regular file"));
    let sparse = folder.path().join("sparse.ttf");
    std::fs::File::create(&sparse).unwrap().set_len(2 << 30).unwrap();
    assert_eq!(problem(&sparse), format!("cannot use font {}: it is larger than 256 MB", sparse.display()));
}

#[test]
fn lists_each_loaded_face_with_its_hash() {
    let loaded: Vec<_> = fonts().loaded().map(|(name, file, hash)| (name, file.to_string(), hash)).collect();
    assert_eq!(
        loaded.iter().map(|(name, ..)| *name).collect::<Vec<_>>(),
        ["IPAexMincho", "VL-Gothic-Regular", "IPAexGothic"]
    );
    for (_, file, hash) in loaded {
        assert_eq!(hash, hex::encode(Sha256::digest(std::fs::read(file).unwrap())));
    }
}
