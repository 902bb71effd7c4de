//! Errors that count as contention, and as an unavailable database.

use super::*;

#[test]
fn a_deadlock_is_contention() {
    let database = Database::postgres();
    let issued = issued(&mut database.get(), "a", 2);
    let start = Barrier::new(2);
    let outcomes: Vec<Result<(), DbError>> = std::thread::scope(|scope| {
        let workers: Vec<_> = [[0, 1], [1, 0]]
            .into_iter()
            .map(|[first, second]| {
                let (issued, start, database) = (&issued, &start, &database);
                scope.spawn(move || {
                    database.get().transaction(|c| {
                        revision::set_arrived(c, &[&issued[first].revision.id], at(1))?;
                        start.wait();
                        revision::set_arrived(c, &[&issued[second].revision.id], at(1)).map(|_| ())
                    })
                })
            })
            .collect();
        workers.into_iter().map(|worker| worker.join().unwrap()).collect()
    });
    let failed: Vec<_> = outcomes.into_iter().filter_map(Result::err).collect();
    assert_eq!(failed.len(), 1);
    assert!(failed[0].is_contention() && !failed[0].is_unavailable(), "{:?}", failed[0]);
}

#[test]
fn stopped_server_is_unavailable_until_restarted() {
    let mut server = Postgres::new();
    let pool = Pool::open(&server.database("away"), 2).unwrap();
    let mut connection = pool.get().unwrap();
    db::migrate(&mut connection).unwrap();

    server.stop();
    let error = counts(&mut connection).unwrap_err();
    assert!(error.is_unavailable() && !error.is_contention(), "{error:?}");
    let error = connection.transaction(|c| application::insert_new(c, &[accepted("a", 1)])).unwrap_err();
    assert!(error.is_unavailable(), "{error:?}");
    drop(connection);
    let error = pool.get().unwrap_err();
    assert!(error.is_unavailable(), "{error:?}");

    server.start();
    let mut connection = pool.get().unwrap();
    assert_eq!(application::insert_new(&mut connection, &[accepted("a", 1)]).unwrap(), 1);

    // Killed during a transaction.
    let error = connection
        .transaction(|c| {
            application::insert_new(c, &[accepted("b", 1)])?;
            server.kill();
            application::insert_new(c, &[accepted("c", 1)])
        })
        .unwrap_err();
    assert!(error.is_unavailable(), "{error:?}");
    server.start();
    drop(connection);
    assert_eq!(count(&mut pool.get().unwrap(), "application"), 1);
}

#[test]
fn exhausted_pool_is_unavailable() {
    let database = Database::postgres();
    let pool = Pool::open(&database.url, 1).unwrap();
    let _taken = pool.get().unwrap();
    assert!(pool.get().unwrap_err().is_unavailable());
}

#[test]
fn connection_errors_omit_the_password() {
    let port = crate::harness::process::free_port();
    for url in [
        format!("postgres://hosho:hunter2@127.0.0.1:{port}/hosho"),
        "postgres://hosho:hunter2@[::1/hosho".to_owned(),
    ] {
        let error = Pool::open(&url, 1).unwrap().get().unwrap_err();
        let text = format!("{error} {error:?}");
        assert!(error.is_unavailable() && !text.contains("hunter2"), "{text}");
    }
}
