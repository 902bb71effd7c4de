//! Each rule with its lines, and properties of generated texts.

use proptest::prelude::*;

use super::glyph::STEP;
use super::*;
use crate::display_list;

/// Glyphs of a face with half-width ASCII and kana, and marks without width.
fn glyphs(text: &str) -> Vec<LineGlyph> {
    let advance = |character: char| match character {
        '\u{301}' | '\u{3099}' => 0,
        ' '..='~' | '｡'..='ﾟ' | 'é' => 500,
        _ => 1000,
    };
    let ink = |character| if never_last(character) { (520, 950) } else { (50, 480) };
    text.chars()
        .map(|it| LineGlyph::new(display_list::Glyph::plain(it), 0, advance(it), || ink(it)))
        .collect()
}

fn shown(line: &[LineGlyph]) -> String {
    line.iter().map(|glyph| glyph.drawn.character).collect()
}

fn em(width: f64) -> i64 {
    #[expect(clippy::cast_possible_truncation, reason = "a small number")]
    let thousandths = (width * 1000.0) as i64;
    thousandths
}

fn break_text(text: &str, width: f64, is_name: bool) -> Vec<String> {
    let mut glyphs = glyphs(text);
    let lines = break_lines(&mut glyphs, Room { first: em(width), rest: em(width), is_name }).unwrap();
    lines.into_iter().map(|range| shown(&glyphs[range])).collect()
}

fn lines(text: &str, width: f64) -> Vec<String> {
    break_text(text, width, false)
}

/// The pads of a text on one line.
fn pads(text: &str, width: f64, fills: bool) -> (Vec<i16>, justify::Line) {
    let mut glyphs = glyphs(text);
    gaps::set(&mut glyphs);
    let line = justify(&mut glyphs, em(width), fills);
    (glyphs.iter().map(|glyph| glyph.drawn.pad).collect(), line)
}

#[test]
fn keeps_dates_amounts_and_numbers_whole() {
    assert_eq!(lines("工期は令和8年7月1日から", 5.0), ["工期は", "令和8年", "7月1日から"]);
    assert_eq!(lines("請負金額12,345,000円", 7.0), ["請負金額", "12,345,000円"]);
    assert_eq!(lines("番号は３１０７４です", 6.0), ["番号は", "３１０７４で", "す"]);
    assert_eq!(lines("工区＃３の一部", 3.0), ["工区", "＃３の", "一部"]);
    assert_eq!(lines("一丁目～三丁目", 3.0), ["一丁", "目～三", "丁目"]);
    assert_eq!(lines("延長は約５０㎞とする", 5.0), ["延長は約", "５０㎞とす", "る"]);
    assert_eq!(lines("総額は3億5,000万円", 6.0), ["総額は", "3億5,000万円"]);
    assert_eq!(lines("工事の第12号から", 4.0), ["工事の", "第12号か", "ら"]);
    assert_eq!(lines("割合は４５％以上", 5.0), ["割合は", "４５％以上"]);
    assert_eq!(lines("代金￥１，０００", 6.0), ["代金", "￥１，０００"]);
    assert_eq!(lines("通勤ＪＲ線", 3.0), ["通勤", "ＪＲ線"]);
}

#[test]
fn no_forbidden_character_begins_or_ends_a_line() {
    assert_eq!(lines("あいうえっか", 4.0), ["あいう", "えっか"]);
    assert_eq!(lines("アイㇰウ", 2.0), ["ア", "イㇰ", "ウ"]);
    assert_eq!(lines("ｱｲｳｴ｡ｵ", 2.0), ["ｱｲｳ", "ｴ｡ｵ"]);
    assert_eq!(lines("ｱｲｳｶﾞｷ", 2.0), ["ｱｲｳ", "ｶﾞｷ"]);
    assert_eq!(lines("佐々木あゝ", 2.0), ["佐々", "木", "あゝ"]);
    assert_eq!(lines("若葉｢見本｣です", 3.0), ["若葉", "｢見本｣", "です"]);
    assert_eq!(lines("四丁目５－６", 4.0), ["四丁目", "５－６"]);
    assert_eq!(lines("以上……終", 3.0), ["以", "上……", "終"]);
    assert_eq!(lines("上は―――で", 3.0), ["上は", "―――", "で"]);
    assert_eq!(lines("いざ〳〵と", 3.0), ["いざ", "〳〵と"]);
    assert_eq!(lines("は　「　若葉", 3.0), ["は", "「　若", "葉"]);
    assert_eq!(lines("山e\u{301}e\u{301}e\u{301}", 1.0), ["山", "e\u{301}e\u{301}", "e\u{301}"]);
}

#[test]
fn lists_agree_with_the_standard() {
    let first = "、。，．・：；？！゛゜ヽヾゝゞ々〻ー～〜´｀¨‐－–゠’”）〕］｝〉》」』】〙〗〟｠ぁぃぅぇぉっゃゅょゎゕゖァィゥェォッャュョヮヵヶㇰㇱㇲㇳㇴㇵㇶㇷㇸㇹㇺㇻㇼㇽㇾㇿ\
                 ｡､･｣ｧｨｩｪｫｬｭｮｯｰﾞﾟ％‰℃°′″‼⁇⁈⁉,.:;?!)]}\u{3099}\u{309A}\u{301}";
    assert_eq!(first.chars().filter(|character| !never_first(*character)).collect::<String>(), "");
    let last = "-‐\u{2011}‘“（〔［｛〈《「『【〘〖〝｟｢([{＃￥＄￡¥$£€";
    assert_eq!(last.chars().filter(|character| !never_last(*character)).collect::<String>(), "");
    let neither = "あアｱ一〇①Ａａ１Aa1 　〒※＋＝…―𠮷";
    assert_eq!(
        neither
            .chars()
            .filter(|character| never_first(*character) || never_last(*character))
            .collect::<String>(),
        ""
    );
}

#[test]
fn cuts_long_pieces_without_losing_text() {
    assert_eq!(lines("ABCDEFGHIJ", 2.0), ["ABCD", "EFGH", "IJ"]);
    assert_eq!(lines("株式会社　甲乙", 4.0), ["株式会社", "甲乙"]);
    assert_eq!(lines("ーーーーー", 2.0), ["ーー", "ーー", "ー"]);
    assert_eq!(lines("", 4.0), [""]);
    assert_eq!(lines("　　　　　", 2.0), [""]);
    let mut wide = glyphs("大大");
    assert_eq!(break_lines(&mut wide, Room { first: 3000, rest: 999, is_name: false }).unwrap().len(), 1);
    assert_eq!(break_lines(&mut wide, Room { first: 999, rest: 3000, is_name: false }), Err(TooNarrow));
}

#[test]
fn breaks_addresses_after_their_separators() {
    assert_eq!(
        lines("https://registry.example.jp/open?number=1", 9.0),
        ["https://registry.", "example.jp/open?", "number=1"]
    );
    assert_eq!(
        lines("宛先はkeiyaku@city.wakaba.example.jp", 10.0),
        ["宛先はkeiyaku@city.", "wakaba.example.jp"]
    );
    assert_eq!(
        lines("番号31074-00001Mです", 8.0),
        ["番号", "31074-00001Mで", "す"],
        "a hyphen at a line end would not be copied"
    );
    assert_eq!(lines("甲乙丙丁戊 Wakaba.Ohashi", 8.0), ["甲乙丙丁戊", "Wakaba.Ohashi"]);
}

#[test]
fn aligns_brackets_by_their_ink() {
    assert_eq!(lines("（甲）乙丙", 3.5), ["（甲）乙", "丙"]);
    assert_eq!(lines("甲乙丙。丁", 3.5), ["甲乙丙。", "丁"]);
    let (_, line) = pads("「甲」", 9.0, false);
    assert_eq!((line.lead, line.trail, line.width), (500, 500, 2000));
}

#[test]
fn squeezes_punctuation_before_pushing_glyphs_out() {
    assert_eq!(lines("甲、乙、丙丁。戊", 6.0), ["甲、乙、丙丁。", "戊"]);
    assert_eq!(lines("甲乙、丙丁戊。己", 6.0), ["甲乙、丙丁", "戊。己"], "a comma keeps two fifths");
    assert_eq!(lines("甲「乙」丙丁ー戊", 6.5), ["甲「乙」丙丁ー", "戊"]);
}

#[test]
fn adjacent_punctuation_shares_its_blank() {
    assert_eq!(pads("甲」（乙", 9.0, false).0, [0, -500, 0, 0]);
    assert_eq!(pads("甲。」乙", 9.0, false).0, [0, -500, 0, 0]);
    assert_eq!(pads("（「甲」）", 9.0, false).0, [-500, 0, 0, -500, 0]);
    assert_eq!(pads("甲」・「乙", 9.0, false).0, [0, -500, -500, 0, 0]);
    assert_eq!(pads("甲、乙「丙", 9.0, false).0, [0; 5], "a blank beside a kanji stays");
}

#[test]
fn separates_scripts_but_not_numbers_from_their_counters() {
    let after = |text: &str| {
        let (pads, _) = pads(text, 99.0, false);
        text.chars()
            .zip(pads)
            .flat_map(|(character, pad)| [Some(character), (pad > 0).then_some('|')])
            .flatten()
            .collect::<String>()
    };
    assert_eq!(after("このPDFを図3の横に"), "この|PDF|を図|3|の横に");
    for tight in [
        "令和8年7月1日から12,345,000円を",
        "第34号",
        "3工区",
        "3か月と3ヶ所",
        "45％の",
        "（PDF）、A。",
        "甲 A 乙　B",
        "R8-第34号",
        "A１号",
        "①A",
    ] {
        assert_eq!(after(tight), tight);
    }
    assert_eq!(after("度R8年"), "度|R8年");
    assert_eq!(after("ｶﾅABC々"), "ｶﾅ|ABC|々");
}

#[test]
fn squeezes_a_line_in_small_steps() {
    let (squeezed, line) = pads("甲、乙、丙丁。", 6.0, false);
    assert_eq!((squeezed, line.width), (vec![0, -250, 0, -250, 0, 0, 0], 6000));
    let (squeezed, line) = pads("甲、乙「丙」丁A戊", 7.9, false);
    assert_eq!(squeezed.iter().map(|pad| i64::from(*pad)).sum::<i64>() + 8500, line.width);
    assert!(line.width <= 7900 && squeezed.iter().all(|pad| pad % STEP == 0), "{squeezed:?} {line:?}");
}

#[test]
fn stretches_between_words_before_between_glyphs() {
    // The gaps between words take all of the slack.
    assert_eq!(
        pads("ab cd ef", 4.3, true),
        (vec![0, 0, 150, 0, 0, 150, 0, 0], justify::Line { lead: 0, trail: 0, width: 4300, spacing: 0.0 })
    );
    // The rest of the slack is distributed between glyphs, but not inside words.
    let (grown, line) = pads("甲乙丙丁戊", 5.2, true);
    assert_eq!((grown, line.width, line.spacing), (vec![0; 5], 5200, 50.0));
    let (grown, line) = pads("甲乙ab丙丁", 5.65, true);
    assert_eq!((grown, line.width, line.spacing), (vec![0, 250, 0, 250, 0, 0], 5650, 50.0));
    // Too much slack: the line stays ragged.
    assert_eq!(pads("甲乙丙丁戊", 5.3, true).1.width, 5000);
    assert_eq!(pads("ab cd", 4.0, true).1.width, 2500);
    // The last line is not stretched.
    assert_eq!(pads("甲乙丙丁戊", 5.2, false).1.width, 5000);
}

#[test]
fn breaks_names_between_their_parts() {
    let name = "令和８年度若葉川改修工事　若葉大橋下部工築造工事";
    assert_eq!(break_text(name, 16.0, true), ["令和８年度若葉川改修工事", "若葉大橋下部工築造工事"]);
    assert_eq!(break_text(name, 16.0, false), ["令和８年度若葉川改修工事　若葉大", "橋下部工築造工事"]);
    assert_eq!(
        break_text(name, 20.0, true)[0],
        "令和８年度若葉川改修工事　若葉大橋下部工",
        "the part would leave the line too empty"
    );
    assert_eq!(break_text("若葉・新緑・こもれび特定建設工事共同企業体", 7.0, true)[0], "若葉・新緑・");
    assert_eq!(break_text("市道若葉線改良工事", 8.0, true), ["市道若葉線改良", "工事"]);
}

const WORDS: [&str; 44] = [
    "工事",
    "株式会社",
    "３",
    "１２",
    "8",
    "12,000円",
    "令和",
    "7月",
    "1日",
    "Tokyo",
    "A",
    "サーバ",
    "１，２",
    "橋梁",
    "𠮷",
    "槗",
    "﨑",
    "e\u{301}",
    "か\u{3099}",
    "ﾊﾞｽ",
    "ｶﾞ",
    "「",
    "」",
    "（",
    "）",
    "、",
    "。",
    "ー",
    "ッ",
    "々",
    "・",
    "～",
    "＃",
    "％",
    "【",
    "】",
    "　",
    " ",
    "…",
    "―",
    "” ",
    "“",
    "https://example.jp/a?b=c",
    "x@example.jp",
];

/// Words of all kinds in sequence, or any characters of the repertoires.
fn text() -> impl Strategy<Value = String> {
    let words =
        prop::collection::vec(prop::sample::select(&WORDS[..]), 0..60).prop_map(|words| words.concat());
    let any = "[ -~぀-ヿ一-仿｡-ﾟ！-～、-〟\u{2010}-\u{2027}\u{301}𠮷-𠮿㌀-㏿Α-ω]{0,120}";
    prop_oneof![words, any]
}

/// Whether a line that was cut against a rule has a place where no rule forbids it.
fn could_cut(line: &[LineGlyph]) -> bool {
    (1..line.len()).any(|at| {
        let visible = line[..at].iter().rev().find(|glyph| !glyph.is_space());
        !line[at].is_space()
            && !never_first(line[at].drawn.character)
            && !line[at - 1].is_space()
            && visible.is_some_and(|glyph| !never_last(glyph.drawn.character))
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(4000))]

    #[test]
    fn generated_lines_keep_the_rules(text in text(), halves in 8_u8..60, is_name: bool, fills: bool) {
        let mut glyphs = glyphs(&text);
        let room = i64::from(halves) * 500;
        let ranges = break_lines(&mut glyphs, Room { first: room, rest: room, is_name }).unwrap();
        // Only spaces at line ends are dropped.
        let mut next = 0;
        for range in &ranges {
            prop_assert!(glyphs[next..range.start].iter().all(LineGlyph::is_space), "lost {:?}", shown(&glyphs[next..range.start]));
            next = range.end;
        }
        prop_assert!(glyphs[next..].iter().all(LineGlyph::is_space));
        for pair in ranges.windows(2) {
            let (line, first) = (&glyphs[pair[0].clone()], glyphs[pair[1].start]);
            let breaks_a_rule = never_first(first.drawn.character) || line.last().is_some_and(|last| never_last(last.drawn.character));
            prop_assert!(!breaks_a_rule || !could_cut(line), "{:?} before {:?}", shown(line), first.drawn.character);
        }
        for range in ranges {
            let line = &mut glyphs[range];
            let set = justify(line, room, fills);
            prop_assert!(set.width <= room, "{set:?} in {room}: {}", shown(line));
            let spaced = (0..line.len().saturating_sub(1)).filter(|at| !in_word(line, *at)).fold(0.0, |sum, _| sum + set.spacing);
            let sum: i64 = line.iter().map(|glyph| i64::from(glyph.advance) + i64::from(glyph.drawn.pad)).sum();
            let sum = sum - i64::from(set.lead) - i64::from(set.trail);
            #[expect(clippy::cast_precision_loss, reason = "a small number")]
            let off = (sum as f64 + spaced - set.width as f64).abs();
            prop_assert!(off < 0.001, "{set:?} but {sum} + {spaced}: {}", shown(line));
            for glyph in line.iter() {
                prop_assert!(glyph.drawn.pad % STEP == 0 && i32::from(glyph.drawn.pad) + i32::from(glyph.advance) >= 0, "{glyph:?}");
            }
            prop_assert!((0.0..=60.0).contains(&set.spacing));
        }
    }
}

#[test]
fn time_is_linear_in_the_text() {
    for unit in
        ["工事、", "ーー", "a", "　", " ", "「", "（　", "\u{301}", "https://", "@a.", "1", "第", "8年"]
    {
        let text = format!("（{}工", unit.repeat(100_000 / unit.chars().count()));
        let start = std::time::Instant::now();
        lines(&text, 20.0);
        let one = start.elapsed();
        assert!(one.as_secs() < 5, "{unit}: {one:?}");
    }
}
