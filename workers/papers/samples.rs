//! Invented certificates that every template is rendered with.

use chrono::NaiveDate;
use hosho_schema::messages::{MediumV1, ProductV1, WorksKindV1};
use hosho_schema::money::Yen;
use hosho_schema::snapshots::{Branch, Certificate, Channel, Company, Obligee, Principal, Submission, Surety, Works};

/// A key as it is minted, opening nothing.
pub(super) const KEY: &str = "Hk7mPq3RwXy9";

/// The registry's page of the samples.
pub(super) const REGISTRY: &str = "https://registry.example.jp/certificates";

fn day(year: i32, month: u32, day: u32) -> NaiveDate {
    NaiveDate::from_ymd_opt(year, month, day).unwrap_or_default()
}

fn company(name: &str, address: &str, representative: &str) -> Company {
    Company { name: name.to_owned(), address: address.to_owned(), representative: representative.to_owned() }
}

/// A single company, electronic, new: what the other samples vary.
fn single() -> Certificate {
    Certificate {
        number: "31075-00001M".to_owned(),
        revision: 0,
        issued_on: day(2026, 7, 1),
        product: ProductV1::AdvancePayment,
        medium: MediumV1::Electronic,
        amount: Yen(19_360_000),
        expires_on: day(2027, 3, 19),
        bank: Some("みどり銀行　若葉支店".to_owned()),
        works: Works {
            name: "市道若葉１２号線道路改良工事".to_owned(),
            number: Some("R8-第34号".to_owned()),
            kind: WorksKindV1::Construction,
            contract_price: Yen(48_400_000),
            from: day(2026, 7, 2),
            to: day(2027, 3, 19),
            contract_date: Some(day(2026, 7, 1)),
            low_price: false,
            fiscal_year: None,
        },
        principal: Principal {
            joint_venture: None,
            company: company("株式会社若葉建設", "若葉県若葉市本町一丁目２番３号", "代表取締役　青木　一郎"),
            members: Vec::new(),
        },
        obligee: Obligee {
            code: "wakaba".to_owned(),
            name: "若葉市".to_owned(),
            title: "若葉市長".to_owned(),
            submission: Submission {
                channel: Channel::Mail,
                department: Some("総務部契約検査課".to_owned()),
                mail_address: Some("keiyaku@city.wakaba.example.jp".to_owned()),
                system: None,
                subject: Some("【電子保証】R8-第34号　市道若葉１２号線道路改良工事".to_owned()),
            },
        },
        surety: Surety {
            name: "みらい工事保証株式会社".to_owned(),
            address: "東京都中央区見本町一丁目１番１号　見本ビル".to_owned(),
            president: "取締役社長　見本　太郎".to_owned(),
            terms_version: "令和8年4月版".to_owned(),
        },
        branch: Branch {
            code: "31".to_owned(),
            name: "若葉支店".to_owned(),
            address: "若葉県若葉市中央二丁目４番６号".to_owned(),
            telephone: "03-0000-0001".to_owned(),
            fax: "03-0000-0002".to_owned(),
            mail_address: "wakaba@surety.example.jp".to_owned(),
        },
    }
}

/// The samples by name.
pub(super) fn certificates() -> Vec<(&'static str, Certificate)> {
    let upload = Submission {
        channel: Channel::Upload,
        department: None,
        mail_address: None,
        system: Some("若葉県電子契約システム".to_owned()),
        subject: None,
    };
    let jv = Certificate {
        number: "31075-00002M".to_owned(),
        principal: Principal {
            joint_venture: Some("若葉・新緑・こもれび特定建設工事共同企業体".to_owned()),
            company: company("株式会社若葉建設", "若葉県若葉市本町一丁目２番３号", "代表取締役　青木　一郎"),
            members: vec![
                company("新緑土木株式会社", "若葉県新緑市東町４－５－６", "代表取締役　緑川　花子"),
                company("有限会社こもれび組", "若葉県こもれび町大字林７８番地", "取締役　林　三郎"),
            ],
        },
        ..single()
    };
    let mut long = single();
    "令和８年度（令和７年度繰越）社会資本整備総合交付金事業　一級河川若葉川水系新緑川河川改修工事（第３工区）に伴う若葉大橋（Wakaba-Ohashi Bridge）下部工及び取付道路築造工事並びに附帯する仮設工事その２"
        .clone_into(&mut long.works.name);
    let mut variant = single();
    variant.principal.company = company("𠮷田・髙橋建設株式会社", "若葉県槗本市邊見﨑１２３番地", "代表取締役　髙﨑　槗之助");
    let paper = Certificate { medium: MediumV1::Paper, number: "31075-00003M".to_owned(), ..single() };
    let mut amended = Certificate { revision: 2, product: ProductV1::InterimAdvancePayment, amount: Yen(9_680_000), ..single() };
    amended.obligee.submission = upload;
    let mut unsigned = Certificate { product: ProductV1::Performance, bank: None, amount: Yen(4_840_000), ..single() };
    unsigned.works.contract_date = None;
    unsigned.obligee.submission.subject = None;
    vec![
        ("single company", single()),
        ("joint venture", jv),
        ("long works name", long),
        ("variant kanji", variant),
        ("on paper", paper),
        ("second amendment", amended),
        ("contract not signed yet", unsigned),
    ]
}
