//! Checks after a drill: every row, every file, every mail.

use std::{
    collections::{BTreeMap, BTreeSet, HashSet},
    os::unix::fs::PermissionsExt as _,
    path::{Path, PathBuf},
};

use hosho::keys::{ALPHABET, KEY_LENGTH, KeyRing};
use hosho_schema::{
    models::{
        authentication_key,
        document::Kind,
        mail::{Mail, State},
        revision::chained_sha256,
    },
    queries::status::{ApplicationStatus, GuaranteeStatus, RevisionStatus},
};

use super::{
    applications::{Application, MAIL_DOMAIN, SOURCE, Totals},
    worker_pool::WorkerPool,
};
use crate::harness::{
    documents::{StoredDocuments, pdf_text},
    smtp,
    test_env::TestEnv,
};

/// Number of notices and mails whose content is checked.
const SAMPLE: usize = 50;

/// The stored results of a drill, in the order of the applications.
pub struct Results {
    statuses: Vec<ApplicationStatus>,
    /// Number and opened key by guarantee id.
    keys: BTreeMap<String, (String, String)>,
    /// Incomplete files of killed workers, never renamed to a document.
    pub unfinished_segments: usize,
}

impl Results {
    fn guarantees(&self) -> impl Iterator<Item = (&GuaranteeStatus, &RevisionStatus)> {
        self.statuses.iter().flat_map(|status| &status.guarantees).map(|guarantee| {
            let [certificate] = &guarantee.revisions[..] else { panic!("{:?}", guarantee.revisions) };
            (guarantee, certificate)
        })
    }

    fn mails(&self) -> impl Iterator<Item = &Mail> {
        self.guarantees().flat_map(|(_, certificate)| &certificate.mails)
    }

    /// The ids of the mails in a state.
    pub fn mails_in(&self, state: State) -> BTreeSet<String> {
        self.mails().filter(|mail| mail.state == state).map(|mail| mail.id.clone()).collect()
    }
}

/// Checks what holds after every drill; returns the results for further checks.
pub fn check_results(pool: &mut WorkerPool, applications: &[Application]) -> Results {
    let totals = Totals::of(applications);
    for (table, rows) in [
        ("application", totals.applications),
        ("guarantee", totals.guarantees),
        ("revision", totals.guarantees),
        ("authentication_key", totals.keys),
        ("document", totals.documents),
        ("mail", totals.mails),
    ] {
        assert_eq!(pool.env.rows(table), i64::try_from(rows).unwrap(), "rows of {table}");
    }
    let ids: Vec<(String, String)> =
        applications.iter().map(|application| (SOURCE.to_owned(), application.id.clone())).collect();
    let statuses = pool.env.statuses(&ids);
    assert_eq!(statuses.len(), applications.len());
    for (application, status) in applications.iter().zip(&statuses) {
        assert_complete(application, status);
    }
    assert_numbers_have_no_gap(pool);
    let mut results = Results { keys: open_keys(&pool.env, &statuses), statuses, unfinished_segments: 0 };
    assert_eq!(results.keys.len(), totals.keys);
    results.unfinished_segments = check_documents(&pool.env, &results);
    assert_notices_contain_key(&pool.env, &results);
    assert_no_secret_leaked(&pool.env, &results);
    results
}

/// One guarantee and certificate per line, with the parts that its medium requires.
fn assert_complete(application: &Application, status: &ApplicationStatus) {
    let id = &application.id;
    assert_eq!((&status.application.upstream_id, &status.application.violations), (id, &None));
    assert_eq!(status.application.lines, status.application.issued_lines, "{id}");
    assert_eq!(status.guarantees.len(), application.lines.len(), "{id}");
    for (line, ((product, electronic), found)) in application.lines.iter().zip(&status.guarantees).enumerate()
    {
        let guarantee = &found.guarantee;
        assert_eq!(usize::try_from(guarantee.line).unwrap(), line, "{id}");
        assert_eq!(serde_json::to_value(guarantee.product).unwrap(), **product, "{id}");
        assert_eq!(guarantee.branch, application.branch);
        assert_eq!(
            guarantee.number,
            format!("{}{}-{:05}M", guarantee.branch, guarantee.term, guarantee.sequence)
        );
        assert_eq!(found.key_minted_at.is_some(), *electronic, "{id}: {}", guarantee.number);
        let [revision] = &found.revisions[..] else { panic!("{id}: {} certificates", found.revisions.len()) };
        let certificate = &revision.revision;
        assert_eq!(certificate.revision, 0);
        assert!(
            certificate.arrived_at.is_some() && certificate.completed_at.is_some(),
            "{id}: {certificate:?}"
        );
        assert_eq!(certificate.content_sha256, chained_sha256(None, &certificate.content));
        assert!(certificate.content.contains(&guarantee.number), "{id}");
        let kinds: Vec<Kind> = revision.documents.iter().map(|document| document.kind).collect();
        let wanted: &[Kind] =
            if *electronic { &[Kind::Certificate, Kind::Notice] } else { &[Kind::Certificate] };
        assert_eq!(kinds, wanted, "{id}: {}", guarantee.number);
        let recipients: Vec<_> = revision.mails.iter().map(|mail| mail.recipient.as_str()).collect();
        let wanted: Vec<_> =
            application.mail_address.as_deref().filter(|_| *electronic).into_iter().collect();
        assert_eq!(recipients, wanted, "{id}: {}", guarantee.number);
    }
}

/// By branch and term, numbers run from 1 to the counter.
fn assert_numbers_have_no_gap(pool: &mut WorkerPool) {
    assert_eq!(
        pool.number("select count(*) - count(distinct number) from guarantee"),
        0,
        "a number was issued twice"
    );
    let counters = pool.sql.query(
        "select branch, term, count(*), count(distinct sequence), min(sequence), max(sequence),
                (select last from guarantee_sequence s where s.branch = g.branch and s.term = g.term)
         from guarantee g group by branch, term",
    );
    assert!(!counters.is_empty());
    for counter in counters {
        let counter: Vec<String> = counter.into_iter().flatten().collect();
        let count = counter[2].as_str();
        assert_eq!(counter[3..], [count, "1", count, count], "branch {} term {}", counter[0], counter[1]);
    }
}

/// Opens every sealed key; all differ, and each matches its lookup hash.
fn open_keys(env: &TestEnv, statuses: &[ApplicationStatus]) -> BTreeMap<String, (String, String)> {
    let ring = KeyRing::load(&env.path("hosho.keys")).ok().unwrap();
    let guarantees: Vec<_> =
        statuses.iter().flat_map(|status| &status.guarantees).map(|found| &found.guarantee).collect();
    let ids: Vec<&str> = guarantees.iter().map(|guarantee| guarantee.id.as_str()).collect();
    let rows = env.with_database(|db| authentication_key::by_guarantees(db, &ids)).unwrap();
    let mut keys = BTreeMap::new();
    for (guarantee, row) in
        guarantees.into_iter().zip(rows).filter_map(|(guarantee, row)| Some((guarantee, row?)))
    {
        let key = ring.open(&row.data_key_id, &row.sealed, &guarantee.id).ok().unwrap();
        assert_eq!(row.lookup_hash, ring.lookup_hash(&guarantee.number, &key));
        keys.insert(guarantee.id.clone(), (guarantee.number.clone(), key.expose().to_owned()));
    }
    assert_eq!(
        keys.values().map(|(_, key)| key).collect::<HashSet<_>>().len(),
        keys.len(),
        "two guarantees share a key"
    );
    keys
}

/// Every row has its document, every document a row or a repetition with one.
/// Returns the number of segments with an unfinished end.
fn check_documents(env: &TestEnv, results: &Results) -> usize {
    let rows = results.guarantees().flat_map(|(_, certificate)| &certificate.documents);
    let unfinished = StoredDocuments::open(&env.path("")).assert_are(rows);
    for path in files(&env.path("documents")) {
        let mode = path.metadata().unwrap().permissions().mode() & 0o777;
        assert!(mode == 0o600 || mode == 0o400, "{}: {mode:o}", path.display());
    }
    unfinished
}

fn files(folder: &Path) -> Vec<PathBuf> {
    let entries = std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
    entries.flat_map(|path| if path.is_dir() { files(&path) } else { vec![path] }).collect()
}

/// Checks the text of a sample of notices.
fn assert_notices_contain_key(env: &TestEnv, results: &Results) {
    let notice = |certificate: &RevisionStatus| {
        certificate.documents.iter().find(|document| document.kind == Kind::Notice).cloned()
    };
    let notices: Vec<_> = results
        .guarantees()
        .filter_map(|(found, certificate)| Some((&found.guarantee.id, notice(certificate)?)))
        .collect();
    for (guarantee, document) in notices.iter().step_by(notices.len().div_ceil(SAMPLE).max(1)) {
        let (number, key) = &results.keys[*guarantee];
        let text = pdf_text(&env.document(document));
        assert!(text.contains(number.as_str()), "{number} is not in its notice");
        assert!(text.contains(key.as_str()), "the notice of {number} has another key");
    }
}

/// No key or mail address in the logs, and no key in any text of the database.
fn assert_no_secret_leaked(env: &TestEnv, results: &Results) {
    let keys: HashSet<&[u8]> = results.keys.values().map(|(_, key)| key.as_bytes()).collect();
    let logs = env.logs();
    assert!(!logs.contains(MAIL_DOMAIN), "a log line has a mail address");
    assert!(!contains_key(&logs, &keys), "a log line has an authentication key");
    for (_, certificate) in results.guarantees() {
        assert!(!contains_key(&certificate.revision.content, &keys), "{:?}", certificate.revision);
        for mail in &certificate.mails {
            assert!(
                [&mail.subject, &mail.text_body, &mail.html_body]
                    .iter()
                    .all(|text| !contains_key(text, &keys)),
                "{mail:?}"
            );
        }
    }
}

fn contains_key(text: &str, keys: &HashSet<&[u8]>) -> bool {
    text.as_bytes()
        .split(|byte| !ALPHABET.contains(byte))
        .flat_map(|symbols| symbols.windows(KEY_LENGTH))
        .any(|window| keys.contains(window))
}

/// The mails that the server stored.
pub struct Received {
    /// Copies by mail id.
    copies: BTreeMap<String, Vec<smtp::Received>>,
}

impl Received {
    /// Number of stored copies of a mail.
    pub fn copies(&self, mail: &str) -> usize {
        self.copies.get(mail).map_or(0, Vec::len)
    }

    /// Whether the server stored a copy without a reply.
    pub fn is_unanswered(&self, mail: &str) -> bool {
        self.copies.get(mail).is_some_and(|copies| copies.iter().any(|copy| !copy.replied))
    }

    /// Number of mails stored more than once.
    pub fn repeated(&self) -> usize {
        self.copies.values().filter(|copies| copies.len() > 1).count()
    }
}

/// The mail server has exactly the copies that the ledger has.
pub fn compare_mails(pool: &WorkerPool, results: &Results) -> Received {
    let ledger: BTreeMap<&str, &Mail> =
        results.mails().map(|mail| (mail.message_id.as_str(), mail)).collect();
    assert_eq!(ledger.len(), results.mails().count());
    let mut copies: BTreeMap<String, Vec<smtp::Received>> = BTreeMap::new();
    for received in pool.env.smtp.received() {
        let message_id =
            received.message_id.as_deref().and_then(|id| id.strip_prefix('<')?.strip_suffix('>'));
        let mail = message_id
            .and_then(|id| ledger.get(id))
            .unwrap_or_else(|| panic!("a mail that is not in the ledger: {received:?}"));
        assert_eq!(received.to, std::slice::from_ref(&mail.recipient));
        copies.entry(mail.id.clone()).or_default().push(received);
    }
    let received = Received { copies };
    for mail in results.mails() {
        let copies = received.copies.get(&mail.id).map_or(&[][..], Vec::as_slice);
        let count = i64::try_from(copies.len()).unwrap();
        assert!(count <= mail.attempts, "{mail:?} was received {count} times");
        assert!((1..=2).contains(&mail.attempts), "{mail:?}");
        match mail.state {
            State::Accepted => {
                assert!(!pool.refused.contains(&mail.recipient), "{mail:?} was refused");
                assert!(
                    copies.iter().any(|copy| copy.replied),
                    "{mail:?} was never accepted by the mail server"
                );
                assert!(
                    mail.reply.as_deref().is_some_and(|reply| reply.starts_with("250")),
                    "{mail:?}: {:?}",
                    mail.reply
                );
            }
            State::Unknown => {}
            State::Rejected if pool.refused.contains(&mail.recipient) => {
                assert_eq!((count, mail.attempts), (0, 1), "{mail:?}");
                assert!(
                    mail.reply.as_deref().is_some_and(|reply| reply.starts_with("550")),
                    "{mail:?}: {:?}",
                    mail.reply
                );
            }
            State::Pending | State::Sending | State::Rejected => panic!("{mail:?}"),
        }
        let contents: BTreeSet<Vec<u8>> =
            copies.iter().filter(|_| count > 1).map(|copy| std::fs::read(&copy.file).unwrap()).collect();
        assert!(contents.len() <= 1, "{mail:?}: the copies differ");
    }
    assert_notices_attached(&pool.env, results, &received);
    received
}

/// Each mail of a sample carries the notice of its own certificate.
fn assert_notices_attached(env: &TestEnv, results: &Results, received: &Received) {
    let stored = StoredDocuments::open(&env.path(""));
    let mails: Vec<_> =
        results.guarantees().filter(|(_, certificate)| !certificate.mails.is_empty()).collect();
    for (found, certificate) in mails.iter().step_by(mails.len().div_ceil(SAMPLE).max(1)) {
        let notice = certificate.documents.iter().find(|document| document.kind == Kind::Notice).unwrap();
        for copy in received.copies.get(&certificate.mails[0].id).into_iter().flatten() {
            let mail = smtp::parse(&copy.file);
            assert_eq!(mail.header("To"), certificate.mails[0].recipient);
            let attached: Vec<&str> =
                mail.attachments.iter().map(|attachment| attachment.sha256.as_str()).collect();
            assert_eq!(attached, [stored.sha256(notice).as_str()], "{}", found.guarantee.number);
            assert!(mail.text.unwrap().contains(&found.guarantee.number));
        }
    }
}
