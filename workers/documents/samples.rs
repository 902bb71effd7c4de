//! Invented certificates: every variant of every document, difficult texts.
//!
//! Each is `single` with one change, so that two pictures show that change. Names are unique over all
//! documents: they are names of files and arguments of commands.

use chrono::NaiveDate;
use hosho_schema::messages::{CancellationCauseV1, MediumV1, ProductV1, WorksKindV1};
use hosho_schema::money::Yen;
use hosho_schema::snapshots::{
    Branch, Cancellation, Certificate, Channel, Company, Obligee, Principal, Submission, Works,
};

use crate::reference::surety::Surety;

/// A key of the minting alphabet that opens no certificate.
pub(super) const KEY: &str = "Hm7eKd3RtXGa";

pub(super) const REGISTRY: &str = "https://registry.example.jp/certificates";

/// As long as 工事名 may be: 120 characters.
const LONG_NAME: &str = "令和８年度（令和７年度繰越）社会資本整備総合交付金事業　一級河川若葉川水系新緑川河川改修工事（第３工区）に伴う\
                         若葉大橋（Wakaba-Ohashi Bridge）下部工及び取付道路築造工事並びに附帯する仮設道路及び既設護岸等の復旧工事その２";

fn day(year: i32, month: u32, day: u32) -> NaiveDate {
    NaiveDate::from_ymd_opt(year, month, day).unwrap_or_default()
}

fn company(name: &str, address: &str, representative: &str) -> Company {
    Company { name: name.to_owned(), address: address.to_owned(), representative: representative.to_owned() }
}

/// A single company, electronic, new: the base of the other samples.
pub(super) fn single() -> Certificate {
    Certificate {
        number: "31075-00001M".to_owned(),
        revision: 0,
        issued_on: day(2026, 7, 1),
        product: ProductV1::AdvancePayment,
        medium: MediumV1::Electronic,
        amount: Yen(19_360_000),
        expires_on: day(2027, 3, 19),
        bank: Some("みどり銀行　若葉支店".to_owned()),
        this_year_base: None,
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
        surety: hosho_schema::snapshots::Surety {
            name: "やまなみ建設保証株式会社".to_owned(),
            address: "東京都中央区架空町一丁目２番３号".to_owned(),
            president: "取締役社長　山田　太郎".to_owned(),
            terms_version: "令和8年4月版".to_owned(),
            seal: Surety::sample_seal().map(|(sha256, _)| sha256),
        },
        branch: Branch {
            code: "31".to_owned(),
            name: "若葉支店".to_owned(),
            address: "若葉県若葉市中央二丁目４番６号".to_owned(),
            telephone: "03-0000-0001".to_owned(),
            fax: "03-0000-0002".to_owned(),
            mail_address: "wakaba@surety.example.jp".to_owned(),
        },
        corrects: None,
    }
}

fn interim() -> Certificate {
    let mut sample =
        Certificate { product: ProductV1::InterimAdvancePayment, amount: Yen(9_680_000), ..single() };
    "31075-00002M".clone_into(&mut sample.number);
    sample.issued_on = day(2026, 11, 20);
    sample
}

fn performance() -> Certificate {
    let mut sample =
        Certificate { product: ProductV1::Performance, amount: Yen(4_840_000), bank: None, ..single() };
    "31075-00003M".clone_into(&mut sample.number);
    sample
}

fn paper(sample: Certificate) -> Certificate {
    Certificate { medium: MediumV1::Paper, ..sample }
}

/// 変更－n, with what it changes.
fn amended(sample: Certificate, revision: i64) -> Certificate {
    let mut sample = Certificate { revision, issued_on: day(2027, 2, 10), ..sample };
    if sample.works.to == sample.expires_on {
        sample.expires_on = day(2027, 9, 30);
    }
    sample.works.to = sample.works.to.max(day(2027, 9, 30));
    sample.amount.0 += 1_240_000;
    sample.works.contract_price.0 += 3_100_000;
    sample
}

fn joint_venture(mut sample: Certificate) -> Certificate {
    sample.principal.joint_venture = Some("若葉・新緑・こもれび特定建設工事共同企業体".to_owned());
    sample.principal.members = vec![
        company("新緑土木株式会社", "若葉県新緑市東町４－５－６", "代表取締役　緑川　花子"),
        company("有限会社こもれび組", "若葉県こもれび町大字林７８番地", "取締役　林　三郎"),
    ];
    sample
}

/// The second year of a contract of three.
fn multi_year(mut sample: Certificate) -> Certificate {
    "若葉川第一雨水幹線築造工事（債務負担行為）".clone_into(&mut sample.works.name);
    sample.works.contract_price = Yen(1_234_500_000);
    (sample.works.from, sample.works.to) = (day(2025, 10, 1), day(2028, 3, 10));
    sample.works.contract_date = Some(day(2025, 9, 30));
    sample.works.fiscal_year = Some(2026);
    if sample.product == ProductV1::Performance {
        (sample.amount, sample.expires_on) = (Yen(123_450_000), sample.works.to);
    } else {
        (sample.this_year_base, sample.expires_on) = (Some(Yen(480_000_000)), day(2027, 3, 31));
        sample.amount =
            Yen(if sample.product == ProductV1::AdvancePayment { 192_000_000 } else { 96_000_000 });
    }
    sample
}

fn long(mut sample: Certificate) -> Certificate {
    LONG_NAME.clone_into(&mut sample.works.name);
    "若葉県・新緑市・こもれび町広域水道企業団　企業長".clone_into(&mut sample.obligee.title);
    "若葉県・新緑市・こもれび町広域水道企業団".clone_into(&mut sample.obligee.name);
    let submission = &mut sample.obligee.submission;
    submission.subject = Some(format!("電子保証認証キー：{LONG_NAME}"));
    submission.mail_address =
        Some("denshi-hosho.keiyaku-kensa@suido-kigyodan.wakaba-shinryoku.example.jp".to_owned());
    sample.bank = sample
        .bank
        .map(|_| "若葉県新緑市こもれび町農業協同組合連合会　さくらがおか中央通り出張所".to_owned());
    sample
}

/// Names with variant characters, beyond the BMP, with variation sequences.
fn variants(mut sample: Certificate) -> Certificate {
    sample.principal.company = company(
        "𠮷田・髙橋建設株式会社",
        "若葉県葛\u{E0100}城市槗本邊見﨑１２３番地",
        "代表取締役　髙﨑　槗之助",
    );
    "葛\u{E0100}城市長".clone_into(&mut sample.obligee.title);
    "髙﨑川護岸復旧工事（𠮷野槗工区）".clone_into(&mut sample.works.name);
    sample
}

fn minimal(mut sample: Certificate) -> Certificate {
    sample.bank = None;
    (sample.works.number, sample.works.contract_date) = (None, None);
    sample.obligee.submission = bare_submission(Channel::Mail);
    sample.surety.seal = None;
    sample
}

fn upload(mut sample: Certificate) -> Certificate {
    let system = Some("若葉県電子契約システム".to_owned());
    sample.obligee.submission = Submission { system, ..bare_submission(Channel::Upload) };
    sample
}

fn bare_submission(channel: Channel) -> Submission {
    Submission { channel, department: None, mail_address: None, system: None, subject: None }
}

/// As many members as a joint venture may have.
fn many_members(sample: Certificate) -> Certificate {
    let mut sample = joint_venture(sample);
    let members = ["北", "南", "東", "西", "上", "中", "下", "新", "元", "奥"].iter().flat_map(|part| {
        let of = |kind: &str| {
            company(
                &format!("{part}若葉{kind}"),
                &format!("若葉県{part}若葉市港町９丁目８番７号"),
                "代表取締役　山本　春子",
            )
        };
        [of("建設株式会社"), of("工業合資会社")]
    });
    sample.principal.members = members.collect();
    sample
}

fn unsigned(mut sample: Certificate) -> Certificate {
    sample.works.contract_date = None;
    sample
}

pub(super) fn certificates() -> Vec<(&'static str, Certificate)> {
    vec![
        ("advance", single()),
        ("advance-paper", paper(single())),
        ("advance-amended", amended(single(), 1)),
        ("advance-paper-amended", paper(amended(single(), 12))),
        ("advance-joint-venture", joint_venture(single())),
        ("advance-joint-venture-paper-amended", paper(amended(joint_venture(single()), 2))),
        ("advance-multi-year", multi_year(single())),
        ("advance-long", long(amended(multi_year(single()), 1))),
        ("advance-long-joint-venture", long(amended(joint_venture(single()), 1))),
        ("advance-variants", variants(single())),
        ("advance-minimal", minimal(paper(single()))),
        ("advance-many-members", many_members(multi_year(single()))),
        ("interim", interim()),
        ("interim-paper", paper(interim())),
        ("interim-amended", amended(interim(), 1)),
        ("interim-joint-venture-paper-amended", paper(amended(joint_venture(interim()), 3))),
        ("interim-multi-year", multi_year(joint_venture(interim()))),
        ("performance", performance()),
        ("performance-paper", paper(performance())),
        ("performance-unsigned", unsigned(performance())),
        ("performance-amended", amended(performance(), 1)),
        ("performance-joint-venture-paper-amended", paper(amended(joint_venture(performance()), 2))),
        ("performance-multi-year", multi_year(performance())),
        ("performance-long", long(many_members(performance()))),
        ("performance-minimal", minimal(performance())),
    ]
}

/// What notices are drawn with, by name: electronic ones only.
pub(super) fn notices() -> Vec<(&'static str, Certificate)> {
    vec![
        ("notice", single()),
        ("notice-amended", amended(single(), 1)),
        ("notice-joint-venture", joint_venture(performance())),
        ("notice-joint-venture-amended", upload(amended(joint_venture(interim()), 12))),
        ("notice-multi-year", multi_year(interim())),
        ("notice-upload", upload(single())),
        ("notice-long", long(single())),
        ("notice-variants", variants(performance())),
        ("notice-minimal", minimal(performance())),
    ]
}

pub(super) fn cancellations() -> Vec<(&'static str, Cancellation)> {
    let cancelled = |certificate, cause| Cancellation {
        cancelled_on: day(2027, 3, 1),
        cause,
        notified_on: day(2027, 3, 4),
        certificate,
    };
    let (consent, ended) = (CancellationCauseV1::Consent, CancellationCauseV1::ObligeeCause);
    vec![
        ("cancellation", cancelled(single(), consent)),
        ("cancellation-obligee-cause", cancelled(performance(), ended)),
        (
            "cancellation-joint-venture-paper-amended",
            cancelled(paper(amended(joint_venture(interim()), 2)), consent),
        ),
        ("cancellation-long", cancelled(long(amended(joint_venture(single()), 12)), ended)),
        ("cancellation-variants", cancelled(minimal(variants(single())), consent)),
    ]
}
