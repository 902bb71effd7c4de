//! Concurrent decisions on applications for the same works: one is accepted.

use std::time::Instant;

use hosho_schema::models::works;

use super::works::{commitment, open};
use super::*;
use crate::harness::postgres::Session;

const THREADS: usize = 16;

/// The rule: a limit for the sum of commitments, enough for one of 40.
const CAP: i64 = 60;

const LIMIT: Duration = Duration::from_mins(1);

/// An application of one line.
struct Request {
    id: String,
    works: String,
    product: ProductV1,
    /// It breaks a rule about itself alone.
    broken: bool,
}

impl Request {
    fn new(id: &str, works: &str, product: ProductV1) -> Self {
        Self { id: id.to_owned(), works: works.to_owned(), product, broken: false }
    }
}

/// Decides on applications, each for other works, in the order of `models::works`.
/// `judged` runs after the last query and before the first insert. The snapshot of an accepted application is
/// the name of its works; the violations of a rejected one are the ids of the conflicting applications.
fn decide(connection: &mut Connection, requests: &[Request], judged: impl FnOnce()) -> Result<(), DbError> {
    let works_ids: Vec<_> = requests.iter().map(|request| ids::works(&request.works)).collect();
    let works_ids: Vec<_> = works_ids.iter().map(String::as_str).collect();
    let application_ids: Vec<_> =
        requests.iter().map(|request| ids::application("portal", &request.id)).collect();
    connection.transaction(|c| {
        works::lock(c, &works_ids)?;
        let known = application::by_ids(c, &application_ids.iter().map(String::as_str).collect::<Vec<_>>())?;
        let engaged = works::commitments(c, &works_ids)?;
        let (mut applications, mut commitments) = (Vec::new(), Vec::new());
        for ((request, works), _) in
            requests.iter().zip(&works_ids).zip(known).filter(|(_, known)| known.is_none())
        {
            let others = engaged.get(*works).map_or(&[][..], Vec::as_slice);
            let requested = commitment(&request.id, 0, &request.works, request.product);
            let sum: i64 = others.iter().map(|other| other.commitment.amount).sum();
            applications.push(if request.broken || sum + requested.amount > CAP {
                let conflicting: Vec<_> =
                    others.iter().map(|other| other.commitment.application_id.as_str()).collect();
                rejected(&request.id, &conflicting.join(" "))
            } else {
                commitments.push(requested);
                Application { snapshot: Some(request.works.clone()), ..accepted(&request.id, 1) }
            });
        }
        judged();
        application::insert_missing(c, &applications)?;
        works::commit(c, &commitments)
    })
}

/// Retries on contention, like a worker.
/// A deadlock must not occur, so it is not retried.
fn decide_until_done(connection: &mut Connection, requests: &[Request]) -> Result<(), DbError> {
    let began = Instant::now();
    loop {
        match decide(connection, requests, || ()) {
            Err(error)
                if error.is_contention()
                    && !format!("{error:?}").contains("deadlock")
                    && began.elapsed() < LIMIT => {}
            result => return result,
        }
    }
}

/// Decides on batches in all threads, which start every batch at the same time.
/// A thread with an error continues, so that the others do not wait forever.
fn concurrently(database: &Database, batches: impl Fn(usize) -> Vec<Vec<Request>> + Sync) {
    let start = Barrier::new(THREADS);
    let failures: Vec<DbError> = std::thread::scope(|scope| {
        let threads: Vec<_> = (0..THREADS)
            .map(|thread| {
                let (batches, start) = (&batches, &start);
                scope.spawn(move || {
                    let mut c = Pool::open(&database.url, 1).unwrap().get().unwrap();
                    let decide = |requests: Vec<Request>| {
                        start.wait();
                        decide_until_done(&mut c, &requests).err()
                    };
                    batches(thread).into_iter().filter_map(decide).collect::<Vec<_>>()
                })
            })
            .collect();
        threads.into_iter().flat_map(|thread| thread.join().unwrap()).collect()
    });
    assert!(failures.is_empty(), "{failures:?}");
}

/// All threads apply for the same works.
/// They apply in batches of three and in different orders. Half of the works have a row before.
fn race(database: &Database, product: impl Fn(usize) -> ProductV1 + Sync) {
    const WORKS: usize = 23;
    let known: Vec<_> = (0..WORKS).step_by(2).map(|works| ids::works(&works.to_string())).collect();
    works::lock(&mut database.get(), &known.iter().map(String::as_str).collect::<Vec<_>>()).unwrap();

    concurrently(database, |thread| {
        let order: Vec<_> = (0..WORKS).map(|n| n * (thread + 1) % WORKS).collect();
        let request =
            |works: &usize| Request::new(&format!("{works}-{thread}"), &works.to_string(), product(thread));
        order.chunks(3).map(|batch| batch.iter().map(request).collect()).collect()
    });

    let c = &mut database.get();
    for works in 0..WORKS {
        let open = open(c, &works.to_string());
        let [(winner, 0, None)] = &open[..] else { panic!("works {works}: {open:?}") };
        for thread in 0..THREADS {
            let id = format!("{works}-{thread}");
            let stored = application::by_upstream_ids(c, &[("portal", &id)]).unwrap().remove(0).unwrap();
            match stored.status {
                Status::Accepted => assert_eq!(stored.id, *winner, "{id}"),
                Status::Rejected => {
                    assert_eq!(
                        stored.violations.as_ref(),
                        Some(winner),
                        "{id} conflicts with another application"
                    );
                }
            }
        }
    }
    assert_eq!(count(c, "engagement"), i64::try_from(WORKS).unwrap());
}

fn any_product(thread: usize) -> ProductV1 {
    [ProductV1::AdvancePayment, ProductV1::InterimAdvancePayment, ProductV1::Performance][thread % 3]
}

on_both_databases! {
    fn one_concurrent_application_per_product_is_accepted(database: &Database) {
        race(database, |_| ProductV1::AdvancePayment);
    }

    /// No unique index applies: the products differ, and their sum exceeds the limit.
    fn concurrent_applications_respect_a_sum(database: &Database) {
        race(database, any_product);
    }

    /// Different contents, and so different works, under the same ids.
    /// Half of them break a rule about themselves.
    fn one_concurrent_content_per_id_is_accepted(database: &Database) {
        const IDS: usize = 8;
        let works = |n: usize, thread: usize| format!("{n}-{thread}");
        concurrently(database, |thread| {
            let request = |n: usize| Request { broken: thread % 2 == 0, ..Request::new(&n.to_string(), &works(n, thread), ProductV1::Performance) };
            (0..IDS).map(|n| vec![request(n)]).collect()
        });
        let c = &mut database.get();
        for n in 0..IDS {
            let stored = application::by_upstream_ids(c, &[("portal", &n.to_string())]).unwrap().remove(0).unwrap();
            let engaged: Vec<_> = (0..THREADS).map(|thread| works(n, thread)).filter(|works| !open(c, works).is_empty()).collect();
            assert_eq!(engaged, Vec::from_iter(stored.snapshot), "id {n}");
        }
    }
}

/// An operator may set another default isolation level.
#[test]
fn a_stricter_isolation_changes_nothing() {
    for isolation in ["repeatable%5C%20read", "serializable"] {
        let url = format!(
            "{}?options=-c%20default_transaction_isolation%3D{isolation}",
            postgres::database("database")
        );
        race(&Database::open(url, None), any_product);
    }
}

/// Runs `second` between the queries and the inserts of `first`.
/// It must wait for the end of `first`.
fn while_judged(database: &Database, first: &Request, second: impl FnOnce(&mut Connection) + Send) {
    let mut session = Session::connect(&database.url);
    let waits =
        "select 1 from pg_stat_activity where datname = current_database() and wait_event_type = 'Lock'";
    std::thread::scope(|scope| {
        let mut c = database.get();
        decide(&mut c, std::slice::from_ref(first), || {
            let second = scope.spawn(|| second(&mut database.get()));
            eventually("the second waits or has finished", LIMIT, || {
                (second.is_finished() || !session.query(waits).is_empty()).then_some(())
            });
            assert!(!second.is_finished(), "the second did not wait");
        })
        .unwrap();
    });
}

#[test]
fn second_application_waits_for_the_first() {
    let database = Database::postgres();
    let c = &mut database.get();
    works::lock(c, &[&ids::works("known")]).unwrap();
    for works in ["known", "new"] {
        let (first, second) = (format!("{works}-1"), format!("{works}-2"));
        while_judged(&database, &Request::new(&first, works, ProductV1::AdvancePayment), |c| {
            decide_until_done(c, &[Request::new(&second, works, ProductV1::Performance)]).unwrap();
        });
        let rows = application::by_upstream_ids(c, &[("portal", &first), ("portal", &second)]).unwrap();
        let [Some(first), Some(second)] = &rows[..] else { panic!("{rows:?}") };
        assert_eq!(
            (first.status, second.violations.as_ref()),
            (Status::Accepted, Some(&first.id)),
            "{works}"
        );
    }
}

#[test]
fn ending_a_commitment_waits_for_decisions() {
    let database = Database::postgres();
    let c = &mut database.get();
    decide_until_done(c, &[Request::new("a", "bridge", ProductV1::AdvancePayment)]).unwrap();
    let a = ids::application("portal", "a");
    while_judged(&database, &Request::new("b", "bridge", ProductV1::Performance), |c| {
        assert_eq!(works::end(c, &[(&a, 0)], at(9)).unwrap(), 1);
    });
    let b = application::by_upstream_ids(c, &[("portal", "b")]).unwrap().remove(0).unwrap();
    assert_eq!(b.violations, Some(a), "the decision missed the open commitment");
    assert!(open(c, "bridge").is_empty());
}
