//! Text (rule 14).

use serde_json::{Value, json};

use super::{Codes, cases, changed, set};

const NAME: &str = "/works/name";

fn telephone(number: &str) -> Codes {
    changed(&[("/contact", json!({ "telephone": number }))])
}

fn remarks(text: &str) -> Codes {
    changed(&[("/contact", json!({ "remarks": text }))])
}

cases! {
    text_required = "text.required" {
        kept "markup": set(NAME, json!("<b>{{ works }}</b>"));
        kept "an optional text": set("/works/number", json!("  "));
        broken "empty": set("/principal/address", json!(""));
        broken "blank": set(NAME, json!("　"));
        broken "a date": set("/works/term/to", json!(""));
        broken "保証料請求先": set("/products/0/bill_to", json!(""));
    }
    text_control_character = "text.control_character" {
        kept "lines in remarks": remarks("一\r\n二\t三");
        broken "a line separator": set("/works/number", json!("1\u{2028}"));
        broken "a NUL in remarks": remarks("一\u{0}");
        broken "a line feed in a name": changed(&[("/contact", json!({ "name": "山田\n太郎" }))]);
        broken "a header of a mail": set("/notification/mail_address", json!("a@example.jp\nBcc: b@example.jp"));
    }
    text_direction_character = "text.direction_character" {
        kept "Hebrew itself": remarks("שלום");
        broken "an override": set(NAME, json!("橋\u{202e}梁"));
        broken "an isolate": set(NAME, json!("橋\u{2066}梁"));
    }
    text_invisible_character = "text.invisible_character" {
        kept "an ideographic space": set(NAME, json!("橋　梁"));
        broken "a zero width space": set(NAME, json!("橋\u{200b}梁"));
        broken "a joiner": set(NAME, json!("橋\u{200d}梁"));
        broken "a tag": set(NAME, json!("橋\u{e0041}梁"));
    }
    text_private_use = "text.private_use" {
        kept "a surrogate pair": set("/principal/name", json!("𠮷野組"));
        broken "外字": set(NAME, json!("橋\u{e000}"));
        broken "外字 of plane 15": set(NAME, json!("橋\u{f0000}"));
    }
    text_not_a_character = "text.not_a_character" {
        kept "a geta mark": set(NAME, json!("橋〓"));
        broken "a replacement": set(NAME, json!("橋\u{fffd}"));
        broken "a noncharacter": set(NAME, json!("橋\u{fdd0}"));
        broken "the last code point": set(NAME, json!("橋\u{10ffff}"));
    }
    text_unassigned = "text.unassigned" {
        kept "the newest era": set(NAME, json!("㋿橋梁"));
        broken "between two blocks": remarks("橋\u{0378}");
        broken "beyond the ideographs": remarks("橋\u{3fffd}");
    }
    text_unprintable = "text.unprintable" {
        kept "what no document shows": remarks("\u{30000}");
        broken "a name": set(NAME, json!("\u{30000}"));
        broken "a bank": set("/products/0/bank", json!("\u{30000}銀行"));
    }
    text_too_long = "text.too_long" {
        kept "120 characters": set(NAME, json!("橋".repeat(120)));
        kept "120 of two code units": set(NAME, json!("𠮷".repeat(120)));
        kept "120 with marks": set(NAME, json!("か\u{3099}".repeat(120)));
        broken "121 characters": set(NAME, json!("橋".repeat(121)));
        broken "61 half-width characters with marks": set("/works/number", json!("ﾊﾞ".repeat(33)));
        broken "marks without end": set(NAME, json!(format!("か{}", "\u{3099}".repeat(10_000))));
    }
    postal_code_malformed = "postal_code.malformed" {
        kept "seven digits": set("/principal/address", json!("〒301-0000 茨城県"));
        kept "full width": set("/principal/address", json!("〒３０１－００００　茨城県"));
        kept "none": set("/principal/address", json!("茨城県"));
        broken "six digits": set("/principal/address", json!("〒301-000 茨城県"));
        broken "none after the mark": set("/principal/address", json!("〒茨城県"));
    }
    telephone_malformed = "telephone.malformed" {
        kept "full width": telephone("０２９７ー００－００００");
        kept "an extension": telephone("03-0000-0000（内線 12）");
        kept "from abroad": telephone("+81 3 0000 0000");
        kept "blank": telephone(" ");
        kept "absent": changed(&[("/contact", json!({ "telephone": Value::Null }))]);
        broken "too short": telephone("00-0000");
        broken "words": telephone("営業部まで");
        broken "a mail address": telephone("a@example.jp");
    }
}
