//! The PDFs, read by poppler and qpdf.

use std::{collections::BTreeSet, path::Path, process::Command};

use hosho::keys::{AuthenticationKey, KeyRing};
use hosho_schema::models::{authentication_key, document::Kind};

use super::{Product, applications, files_below, key_in, processed, products, sha256, squeezed, text_of};
use crate::harness::{documents::StoredDocuments, process::run, test_env::example};

/// The digits of an amount in either width.
fn digits(text: &str) -> String {
    text.chars()
        .filter_map(|character| {
            "０１２３４５６７８９"
                .chars()
                .position(|wide| wide == character)
                .map_or(character.to_digit(10), |at| u32::try_from(at).ok())
        })
        .filter_map(|digit| char::from_digit(digit, 10))
        .collect()
}

/// An amount of an application as in certificates: `15,400,000円`.
fn yen(figure: &serde_json::Value) -> String {
    let digits = digits(&figure.as_str().map_or_else(|| figure.to_string(), str::to_owned));
    let groups: Vec<&str> =
        digits.as_bytes().rchunks(3).rev().map(|group| std::str::from_utf8(group).unwrap()).collect();
    format!("{}円", groups.join(","))
}

/// A date of an application as in certificates: `令和8年11月24日`.
fn wareki(date: &serde_json::Value) -> String {
    let digits = digits(date.as_str().unwrap());
    let [year, month, day] =
        [&digits[..4], &digits[4..6], &digits[6..]].map(|part| part.parse::<u32>().unwrap());
    format!("令和{}年{month}月{day}日", year - 2018)
}

/// 預託金融機関 in full width, for the names of the examples.
fn bank(text: &str) -> String {
    let wide = [
        ("龍ｹ崎", "龍ケ崎"),
        ("ｶｸｳｼﾝﾖｳｷﾝｺ ﾅｽｼｵﾊﾞﾗｼﾃﾝ", "カクウシンヨウキンコナスシオバラシテン"),
        ("ﾂｶﾞﾙ", "ツガル"),
    ];
    squeezed(&wide.iter().fold(text.to_owned(), |text, (narrow, wide)| text.replace(narrow, wide)))
}

fn obligee(code: &str) -> toml::Table {
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join(format!("config/obligees/{code}.toml"));
    std::fs::read_to_string(file).unwrap().parse().unwrap()
}

fn name_of(product: &Product<'_>) -> &'static str {
    match product.line["product"].as_str().unwrap() {
        "advance_payment" => "前払金保証",
        "performance" => "契約保証",
        other => panic!("{other}"),
    }
}

#[track_caller]
fn assert_holds(text: &str, expected: &[(&str, &str)]) {
    for (name, expected) in expected {
        assert!(text.contains(&squeezed(expected)), "{name} {expected} is not in:\n{text}");
    }
}

#[test]
fn notices_contain_the_stored_key_of_electronic_guarantees() {
    let env = processed();
    let (applications, statuses) = (applications(), env.statuses(&example("applications.jsonl")));
    let ring = KeyRing::load(&env.path("out/hosho.keys")).unwrap();
    let mut seen = BTreeSet::new();
    for product in products(&applications, &statuses).iter().filter(|product| product.is_electronic()) {
        let number = product.number();
        let notice = env.path(format!("out/notices/{number}.pdf"));
        let key = key_in(&notice);
        let row = authentication_key::by_guarantees(
            &mut env.database().get().unwrap(),
            &[&product.stored.guarantee.id],
        )
        .unwrap();
        let row = row[0].as_ref().unwrap();
        assert_eq!(
            ring.lookup_hash(number, &AuthenticationKey::parse(&key).unwrap()),
            row.lookup_hash,
            "{number}"
        );
        assert_eq!(
            ring.open(&row.data_key_id, &row.sealed, &row.guarantee_id).unwrap().expose(),
            key,
            "{number}"
        );
        assert!(
            !text_of(&env.path(format!("out/certificates/{number}.pdf"))).contains(&key),
            "{number}: the certificate holds the key"
        );

        let obligee = obligee(product.application["obligee"].as_str().unwrap());
        let text = squeezed(&text_of(&notice));
        assert_holds(
            &text,
            &[
                ("title", "電子保証にかかる「認証キー」のお知らせ"),
                ("工事名", &format!("工事名{}", product.application["works"]["name"].as_str().unwrap())),
                ("受注者名", &format!("受注者名{}", product.company()["name"].as_str().unwrap())),
                ("商品", &format!("商品（保証区分）{}", name_of(product))),
                ("保証契約番号", &format!("保証契約番号{number}")),
                ("発注者", &format!("発注者{}", obligee["name"].as_str().unwrap())),
            ],
        );
        if let Some(venture) = product.application["principal"]["name"]
            .as_str()
            .filter(|_| product.company() != &product.application["principal"])
        {
            let company = product.company()["name"].as_str().unwrap();
            assert_holds(
                &text,
                &[
                    ("JV名", &format!("{venture}代表者{company}御中")),
                    ("代表者", &format!("（{venture}代表者）")),
                ],
            );
        }
        assert!(seen.insert(key), "{number}: another guarantee has this key");
    }
    assert_eq!((seen.len(), files_below(&env.path("out/notices")).len()), (12, 12));
}

#[test]
fn certificates_state_the_content_of_applications() {
    let env = processed();
    let (applications, statuses) = (applications(), env.statuses(&example("applications.jsonl")));
    let mut kanji = BTreeSet::new();
    for product in products(&applications, &statuses) {
        let number = product.number();
        let works = &product.application["works"];
        let text = squeezed(&text_of(&env.path(format!("out/certificates/{number}.pdf"))));
        let company = product.company();
        let obligee = obligee(product.application["obligee"].as_str().unwrap());
        // The only example of one year of several ends with that fiscal year.
        let expires = if works["fiscal_year"] == 2026 {
            "令和9年3月31日".to_owned()
        } else {
            wareki(&works["term"]["to"])
        };
        assert_holds(
            &text,
            &[
                ("title", &format!("保証証書（{}）", name_of(&product))),
                ("保証契約番号", &format!("保証契約番号{number}")),
                ("保証契約者", company["name"].as_str().unwrap()),
                ("住所", company["address"].as_str().unwrap()),
                ("代表", company["representative"].as_str().unwrap()),
                ("被保証者", &format!("被保証者{}", obligee["title"].as_str().unwrap())),
                ("保証金額", &format!("保証金額（総額）{}", yen(&product.line["amount"]))),
                ("保証期限", &format!("保証期限{expires}")),
                ("工事名", &format!("工事名{}", works["name"].as_str().unwrap())),
                ("請負金額", &format!("請負金額（総額）{}", yen(&works["contract_price"]))),
                (
                    "工期",
                    &format!(
                        "工期{}から{}まで",
                        wareki(&works["term"]["from"]),
                        wareki(&works["term"]["to"])
                    ),
                ),
            ],
        );
        match works.get("contract_date") {
            Some(date) => assert_holds(&text, &[("請負契約日", &format!("請負契約日{}", wareki(date)))]),
            None => assert!(!text.contains("請負契約日令和"), "{text}"),
        }
        match product.line.get("bank") {
            Some(name) => assert_holds(
                &text,
                &[("預託金融機関", &format!("預託金融機関{}", bank(name.as_str().unwrap())))],
            ),
            None => assert!(!text.contains("預託金融機関令和"), "{text}"),
        }
        for member in product.application["principal"]["members"].as_array().into_iter().flatten() {
            let [address, name] = ["address", "name"].map(|field| member[field].as_str().unwrap());
            assert_holds(&text, &[("構成員", &format!("構成員{address}{name}"))]);
        }
        assert_eq!(text.contains("電子証書"), product.is_electronic(), "{number}: the caption");
        kanji.extend(text.chars().filter(|character| "髙﨑𠮷槗".contains(*character)));
    }
    assert_eq!(kanji, "髙﨑𠮷槗".chars().collect());
}

#[test]
fn paper_guarantees_have_only_a_certificate() {
    let env = processed();
    let (applications, statuses) = (applications(), env.statuses(&example("applications.jsonl")));
    let products = products(&applications, &statuses);
    let paper: Vec<_> = products.iter().filter(|product| !product.is_electronic()).collect();
    assert_eq!(paper.len(), 4);
    for product in paper {
        let kinds: Vec<Kind> = product.revision().documents.iter().map(|document| document.kind).collect();
        assert_eq!(kinds, [Kind::Certificate]);
        assert_eq!(product.stored.key_minted_at, None);
        assert!(product.revision().mails.is_empty());
        assert!(product.revision().revision.completed_at.is_some());
        assert!(!env.path(format!("out/notices/{}.pdf", product.number())).exists());
    }
}

#[test]
fn pdfs_are_valid_private_and_embed_their_fonts() {
    let env = processed();
    let statuses = env.statuses(&example("applications.jsonl"));
    let documents = statuses.iter().flat_map(|status| &status.guarantees).flat_map(|guarantee| {
        let number = &guarantee.guarantee.number;
        guarantee
            .revisions
            .iter()
            .flat_map(|revision| &revision.documents)
            .map(move |document| (number, document))
    });
    let stored = StoredDocuments::open(&env.path("out"));
    let mut fallback = 0;
    let mut count = 0;
    for (number, document) in documents {
        let folder = if document.kind == Kind::Notice { "notices" } else { "certificates" };
        let path = env.path(format!("out/{folder}/{number}.pdf"));
        let bytes = std::fs::read(&path).unwrap();
        assert_eq!(stored.read(document), bytes);
        // The hash of a notice is keyed.
        assert_eq!(sha256(&bytes) == document.sha256, document.kind == Kind::Certificate);

        let mut qpdf = Command::new("qpdf");
        qpdf.arg("--check").arg(&path);
        let output = run(qpdf);
        assert_eq!(output.status.code(), Some(0), "{}", String::from_utf8_lossy(&output.stdout));
        assert_eq!(String::from_utf8_lossy(&output.stderr), "");

        let mut pdffonts = Command::new("pdffonts");
        pdffonts.arg(&path);
        let output = run(pdffonts);
        let listed = String::from_utf8(output.stdout).unwrap();
        let fonts: Vec<Vec<&str>> =
            listed.lines().skip(2).map(|line| line.split_whitespace().rev().collect()).collect();
        assert!(!fonts.is_empty() && output.stderr.is_empty(), "{listed}");
        // From the right: object, generation, uni, sub, emb.
        assert!(fonts.iter().all(|font| font[2..5] == ["yes"; 3]), "{listed}");
        fallback += usize::from(fonts.len() > 2);
        count += 1;
    }
    assert_eq!(count, 28);
    assert!(fallback > 0, "no document needs the fallback font: the examples no longer show 𠮷 and 槗");
    for (name, (mode, ..)) in env.files() {
        assert_eq!(mode & 0o077, 0, "{name} can be read by others");
    }
}
