//! The mails, read by Python's parser.

use hosho_schema::models::{document::Kind, mail::State};

use super::{applications, files_below, keys, processed, products, squeezed};
use crate::harness::{documents::StoredDocuments, smtp::parse, test_env::example};

#[test]
fn sends_one_mail_to_each_willing_applicant() {
    let env = processed();
    let (applications, statuses) = (applications(), env.statuses(&example("applications.jsonl")));
    let mut wanted = 0;
    for product in products(&applications, &statuses) {
        let mails: Vec<_> =
            product.revision().mails.iter().map(|mail| (mail.recipient.as_str(), mail.state)).collect();
        match product.recipient() {
            Some(address) => assert_eq!(mails, [(address, State::Accepted)]),
            None => assert_eq!(mails, []),
        }
        wanted += mails.len();
    }
    let names = files_below(&env.path("out/mail"));
    assert_eq!((wanted, names.len()), (9, 9), "{names:?}");
    assert!(names.iter().all(|path| path.extension().is_some_and(|end| end == "eml")), "{names:?}");
}

#[test]
fn mails_decode_and_contain_the_notice_unchanged() {
    let env = processed();
    let (applications, statuses) = (applications(), env.statuses(&example("applications.jsonl")));
    let (keys, stored) = (keys(env), StoredDocuments::open(&env.path("out")));
    for product in products(&applications, &statuses) {
        let [row] = &product.revision().mails[..] else { continue };
        let path = env.path(format!("out/mail/{}.eml", row.message_id));
        let mail = parse(&path);
        let number = product.number();
        assert_eq!(mail.defects, Vec::<String>::new());
        assert_eq!(
            mail.shape,
            ["multipart/mixed", "multipart/alternative", "text/plain", "text/html", "application/pdf"]
        );
        assert_eq!(
            mail.header("Subject"),
            format!("電子保証（認証キー）発行完了のお知らせ（保証契約番号 {number}）")
        );
        assert_eq!(mail.header("To"), product.recipient().unwrap());
        assert_eq!(mail.header("From"), "やまなみ建設保証株式会社 <noreply@surety.example.jp>");
        assert_eq!(mail.header("Message-ID"), format!("<{}>", row.message_id));
        assert!(!mail.headers.iter().any(|(name, _)| ["cc", "bcc"].contains(&name.to_lowercase().as_str())));

        let notice =
            product.revision().documents.iter().find(|document| document.kind == Kind::Notice).unwrap();
        let [attached] = &mail.attachments[..] else { panic!("{:?}", mail.attachments) };
        assert_eq!(attached.sha256, stored.sha256(notice));
        assert_eq!(
            (attached.name.as_str(), attached.media_type.as_str()),
            (&*format!("{number}_notice.pdf"), "application/pdf")
        );

        let (text, html) = (mail.text.as_deref().unwrap(), mail.html.as_deref().unwrap());
        let principal = product.application["principal"]["name"].as_str().unwrap();
        for expected in [
            number,
            principal,
            product.company()["name"].as_str().unwrap(),
            product.application["works"]["name"].as_str().unwrap(),
        ] {
            assert!(squeezed(text).contains(&squeezed(expected)), "{expected} is not in {text}");
            assert!(squeezed(html).contains(&squeezed(expected)), "{expected} is not in {html}");
        }
        let raw = String::from_utf8(std::fs::read(&path).unwrap()).expect("the mail is ASCII");
        assert!(raw.is_ascii());
        let headers = format!("{:?}", mail.headers);
        for key in keys.values() {
            assert!(
                ![text, html, &headers, &raw].iter().any(|place| place.contains(key)),
                "the mail about {number} contains a key"
            );
        }
    }
}
