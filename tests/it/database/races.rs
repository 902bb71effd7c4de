//! Applications for the same works, decided at the same time: they cannot both slip through.

use std::time::Instant;

use hosho_schema::models::works;

use super::works::{open, wants};
use super::*;
use crate::harness::postgres::Session;

const ASKERS: usize = 16;

/// The rule of these tests: commitments of the same works come to no more than this, so one of 40 and no second.
const CAP: i64 = 60;

const LIMIT: Duration = Duration::from_mins(1);

/// An application of one line.
struct Wish {
    id: String,
    works: String,
    product: ProductV1,
    /// It breaks a rule that needs no look at others.
    broken: bool,
}

impl Wish {
    fn new(id: &str, works: &str, product: ProductV1) -> Self {
        Self { id: id.to_owned(), works: works.to_owned(), product, broken: false }
    }
}

/// Decides on applications, each for other works, in the order that the notes of `models::works` prescribe; `judged` runs after
/// the last look and before the first write. An accepted application keeps the name of its works as its snapshot, a rejected one
/// as its violations the applications that were in its way.
fn decide(connection: &mut Connection, wishes: &[Wish], judged: impl FnOnce()) -> Result<(), DbError> {
    let works_ids: Vec<_> = wishes.iter().map(|wish| ids::works(&wish.works)).collect();
    let works_ids: Vec<_> = works_ids.iter().map(String::as_str).collect();
    let application_ids: Vec<_> = wishes.iter().map(|wish| ids::application("portal", &wish.id)).collect();
    connection.transaction(|c| {
        works::lock(c, &works_ids)?;
        let known = application::by_ids(c, &application_ids.iter().map(String::as_str).collect::<Vec<_>>())?;
        let engaged = works::commitments(c, &works_ids)?;
        let (mut applications, mut commitments) = (Vec::new(), Vec::new());
        for ((wish, works), _) in
            wishes.iter().zip(&works_ids).zip(known).filter(|(_, known)| known.is_none())
        {
            let others = engaged.get(*works).map_or(&[][..], Vec::as_slice);
            let wanted = wants(&wish.id, 0, &wish.works, wish.product);
            let sum: i64 = others.iter().map(|other| other.commitment.amount).sum();
            applications.push(if wish.broken || sum + wanted.amount > CAP {
                let in_the_way: Vec<_> =
                    others.iter().map(|other| other.commitment.application_id.as_str()).collect();
                rejected(&wish.id, &in_the_way.join(" "))
            } else {
                commitments.push(wanted);
                Application { snapshot: Some(wish.works.clone()), ..accepted(&wish.id, 1) }
            });
        }
        judged();
        application::insert_missing(c, &applications)?;
        works::commit(c, &commitments)
    })
}

/// Decides as a worker does: contention is tried again. A deadlock counts as contention too, and must not occur.
fn decide_until_done(connection: &mut Connection, wishes: &[Wish]) -> Result<(), DbError> {
    let began = Instant::now();
    loop {
        match decide(connection, wishes, || ()) {
            Err(error)
                if error.is_contention()
                    && !format!("{error:?}").contains("deadlock")
                    && began.elapsed() < LIMIT => {}
            result => return result,
        }
    }
}

/// Has everybody decide on batches, each on a connection of its own, all beginning every batch together. Whoever fails goes on
/// to meet the others, so that they do not wait for ever.
fn at_once(database: &Database, batches: impl Fn(usize) -> Vec<Vec<Wish>> + Sync) {
    let start = Barrier::new(ASKERS);
    let failures: Vec<DbError> = std::thread::scope(|scope| {
        let askers: Vec<_> = (0..ASKERS)
            .map(|asker| {
                let (batches, start) = (&batches, &start);
                scope.spawn(move || {
                    let mut c = Pool::open(&database.url, 1).unwrap().get().unwrap();
                    let meet = |wishes: Vec<Wish>| {
                        start.wait();
                        decide_until_done(&mut c, &wishes).err()
                    };
                    batches(asker).into_iter().filter_map(meet).collect::<Vec<_>>()
                })
            })
            .collect();
        askers.into_iter().flat_map(|asker| asker.join().unwrap()).collect()
    });
    assert!(failures.is_empty(), "{failures:?}");
}

/// Everybody asks for all of the same works, in batches of three, each in another order. Half of the works are known before.
fn race(database: &Database, product: impl Fn(usize) -> ProductV1 + Sync) {
    const WORKS: usize = 23;
    let known: Vec<_> = (0..WORKS).step_by(2).map(|works| ids::works(&works.to_string())).collect();
    works::lock(&mut database.get(), &known.iter().map(String::as_str).collect::<Vec<_>>()).unwrap();

    at_once(database, |asker| {
        let order: Vec<_> = (0..WORKS).map(|n| n * (asker + 1) % WORKS).collect();
        let wish = |works: &usize| Wish::new(&format!("{works}-{asker}"), &works.to_string(), product(asker));
        order.chunks(3).map(|batch| batch.iter().map(wish).collect()).collect()
    });

    let c = &mut database.get();
    for works in 0..WORKS {
        let open = open(c, &works.to_string());
        let [(winner, 0, None)] = &open[..] else { panic!("works {works}: {open:?}") };
        for asker in 0..ASKERS {
            let id = format!("{works}-{asker}");
            let stored = application::by_upstream_ids(c, &[("portal", &id)]).unwrap().remove(0).unwrap();
            match stored.status {
                Status::Accepted => assert_eq!(stored.id, *winner, "{id}"),
                Status::Rejected => {
                    assert_eq!(stored.violations.as_ref(), Some(winner), "{id} has seen something else");
                }
            }
        }
    }
    assert_eq!(count(c, "engagement"), i64::try_from(WORKS).unwrap());
}

fn any_product(asker: usize) -> ProductV1 {
    [ProductV1::AdvancePayment, ProductV1::InterimAdvancePayment, ProductV1::Performance][asker % 3]
}

on_both_databases! {
    fn the_same_product_is_engaged_once_however_many_ask_at_once(database: &Database) {
        race(database, |_| ProductV1::AdvancePayment);
    }

    /// Here no index helps: every product is another, and together they are too much.
    fn a_sum_over_products_holds_however_many_ask_at_once(database: &Database) {
        race(database, any_product);
    }

    /// Senders of other content, hence for other works, under the same ids; half of it breaks a rule of its own.
    fn under_one_id_one_content_is_engaged_however_many_come_at_once(database: &Database) {
        const IDS: usize = 8;
        let works = |n: usize, asker: usize| format!("{n}-{asker}");
        at_once(database, |asker| {
            let wish = |n: usize| Wish { broken: asker % 2 == 0, ..Wish::new(&n.to_string(), &works(n, asker), ProductV1::Performance) };
            (0..IDS).map(|n| vec![wish(n)]).collect()
        });
        let c = &mut database.get();
        for n in 0..IDS {
            let stored = application::by_upstream_ids(c, &[("portal", &n.to_string())]).unwrap().remove(0).unwrap();
            let engaged: Vec<_> = (0..ASKERS).map(|asker| works(n, asker)).filter(|works| !open(c, works).is_empty()).collect();
            assert_eq!(engaged, Vec::from_iter(stored.snapshot), "id {n}");
        }
    }
}

/// An operator may have set another isolation for every connection: the first to come still decides, and nobody fails.
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

/// Runs `second` while the first to come has judged by what it saw and not yet written; `second` has to wait for it.
fn while_judged(database: &Database, first: &Wish, second: impl FnOnce(&mut Connection) + Send) {
    let mut session = Session::connect(&database.url);
    let waits =
        "select 1 from pg_stat_activity where datname = current_database() and wait_event_type = 'Lock'";
    std::thread::scope(|scope| {
        let mut c = database.get();
        decide(&mut c, std::slice::from_ref(first), || {
            let second = scope.spawn(|| second(&mut database.get()));
            eventually("the second waits, or has not waited", LIMIT, || {
                (second.is_finished() || !session.query(waits).is_empty()).then_some(())
            });
            assert!(!second.is_finished(), "it has not waited");
        })
        .unwrap();
    });
}

#[test]
fn who_comes_second_waits_and_sees_what_the_first_has_engaged() {
    let database = Database::postgres();
    let c = &mut database.get();
    works::lock(c, &[&ids::works("known")]).unwrap();
    for works in ["known", "new"] {
        let (first, second) = (format!("{works}-1"), format!("{works}-2"));
        while_judged(&database, &Wish::new(&first, works, ProductV1::AdvancePayment), |c| {
            decide_until_done(c, &[Wish::new(&second, works, ProductV1::Performance)]).unwrap();
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
fn ending_waits_for_who_is_just_judging_by_it() {
    let database = Database::postgres();
    let c = &mut database.get();
    decide_until_done(c, &[Wish::new("a", "bridge", ProductV1::AdvancePayment)]).unwrap();
    let a = ids::application("portal", "a");
    while_judged(&database, &Wish::new("b", "bridge", ProductV1::Performance), |c| {
        assert_eq!(works::end(c, &[(&a, 0)], at(9)).unwrap(), 1);
    });
    let b = application::by_upstream_ids(c, &[("portal", "b")]).unwrap().remove(0).unwrap();
    assert_eq!(b.violations, Some(a), "it was still open");
    assert!(open(c, "bridge").is_empty());
}
