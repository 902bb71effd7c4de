//! Issuing: numbers without gaps or duplicates, under concurrency too.

use super::*;

on_both_databases! {
    fn issuing_counts_from_one_and_is_idempotent(database: &Database) {
        let c = &mut database.get();
        application::insert_new(c, &[accepted("a", 2), accepted("b", 1)]).unwrap();
        // The same line twice in one batch is issued once.
        let drafts = [draft("a", 1), draft("b", 0), draft("a", 1)];
        let first = issue(c, &drafts, at(2), build).unwrap();
        assert_eq!(first.iter().map(|issued| issued.guarantee.number.as_str()).collect::<Vec<_>>(), ["31075-00001M", "31075-00002M", "31075-00001M"]);
        assert_eq!(first.iter().map(|issued| issued.fresh).collect::<Vec<_>>(), [true, true, false]);
        assert_eq!(first[0].revision.content_sha256, chained_sha256(None, "{\"number\":\"31075-00001M\"}"));
        assert_eq!(first[0].guarantee.issued_at, micros(at(2)));
        let counted = counts(c).unwrap();

        let mut drafts = drafts.to_vec();
        let again = issue(c, &drafts, at(99), |_, _| Err(DbError::Damaged { what: "not called".to_owned() })).unwrap();
        for (before, now) in first.iter().zip(&again) {
            assert_eq!(&Issued { fresh: false, ..before.clone() }, now);
        }
        assert_eq!(counts(c).unwrap(), counted);

        // A batch with old and new lines advances the counter by the new lines.
        drafts.insert(1, draft("a", 0));
        let mixed = issue(c, &drafts, at(3), build).unwrap();
        assert_eq!(mixed.iter().map(|issued| issued.guarantee.sequence).collect::<Vec<_>>(), [1, 3, 2, 1]);
        let rows = application::by_upstream_ids(c, &[("portal", "a"), ("portal", "b")]).unwrap();
        assert_eq!(rows.into_iter().flatten().map(|row| row.issued_lines).collect::<Vec<_>>(), [2, 1]);
        assert_eq!(guarantee::by_number(c, "31075-00003M").unwrap().unwrap(), mixed[1].guarantee);
        assert_eq!(guarantee::by_number(c, "31075-00004M").unwrap(), None);
        let by_ids = guarantee::by_ids(c, &["no such", &mixed[1].guarantee.id]).unwrap();
        assert_eq!(by_ids, [None, Some(mixed[1].guarantee.clone())]);
    }

    fn failed_issue_leaves_no_gap(database: &Database) {
        let c = &mut database.get();
        application::insert_new(c, &[accepted("a", 3)]).unwrap();
        let drafts = [draft("a", 0), draft("a", 1)];
        let refused = issue(c, &drafts, at(2), |draft, sequence| {
            if sequence == 2 { Err(DbError::Damaged { what: "no number".to_owned() }) } else { build(draft, sequence) }
        });
        assert!(matches!(refused, Err(DbError::Damaged { .. })));
        let same = issue(c, &drafts, at(2), |_, _| Ok::<_, DbError>(("31075-00001M".to_owned(), String::new()))).unwrap_err();
        assert!(matches!(same, DbError::Statement { .. }) && !same.is_contention() && !same.is_unavailable(), "{same:?}");
        let orphan = issue(c, &[draft("missing", 0)], at(2), build).unwrap_err();
        assert!(!orphan.is_contention(), "{orphan:?}");
        // One line more than the application has.
        assert!(issue(c, &(0..4).map(|line| draft("a", line)).collect::<Vec<_>>(), at(2), build).is_err());
        assert_eq!(count(c, "guarantee") + count(c, "revision") + count(c, "guarantee_sequence"), 0);
        assert_eq!(issue(c, &drafts, at(2), build).unwrap()[1].guarantee.sequence, 2);
    }

    /// Eight workers issue overlapping batches in two branches, in different orders.
    fn numbers_are_gapless_and_unique_under_concurrency(database: &Database) {
        const WORKERS: usize = 8;
        let new: Vec<_> = (0..100).map(|n| accepted(&n.to_string(), 3)).collect();
        application::insert_new(&mut database.get(), &new).unwrap();
        let drafts: Vec<_> = (0..300_i64)
            .map(|n| {
                let branch = if n % 3 == 0 { "31" } else { "04" }.to_owned();
                GuaranteeDraft { branch, ..draft(&(n / 3).to_string(), n % 3) }
            })
            .collect();
        let start = Barrier::new(WORKERS);
        let results: Vec<Vec<Issued>> = std::thread::scope(|scope| {
            let workers: Vec<_> = (0..WORKERS)
                .map(|worker| {
                    let (drafts, start) = (&drafts, &start);
                    scope.spawn(move || {
                        let mut c = database.get_when_free();
                        start.wait();
                        let stride = [1, 7, 11, 13, 17, 19, 23, 29][worker];
                        let mine: Vec<_> = (0..drafts.len()).map(|n| drafts[(n * stride + worker * 31) % drafts.len()].clone()).collect();
                        mine.chunks(16).flat_map(|batch| issue_until_done(&mut c, batch)).collect()
                    })
                })
                .collect();
            workers.into_iter().map(|worker| worker.join().unwrap()).collect()
        });

        let mut numbers: BTreeMap<(String, i64), BTreeSet<String>> = BTreeMap::new();
        for issued in results.iter().flatten() {
            let line = (issued.guarantee.application_id.clone(), issued.guarantee.line);
            numbers.entry(line).or_default().insert(issued.guarantee.number.clone());
        }
        assert_eq!(numbers.len(), 300);
        assert!(numbers.values().all(|numbers| numbers.len() == 1), "a line has two numbers");
        assert_eq!(results.iter().flatten().filter(|issued| issued.fresh).count(), 300, "a line was issued twice");
        for (branch, lines) in [("31", 100), ("04", 200)] {
            let sequences: BTreeSet<i64> = results
                .iter()
                .flatten()
                .filter(|issued| issued.guarantee.branch == branch)
                .map(|issued| issued.guarantee.sequence)
                .collect();
            assert_eq!(sequences, (1..=lines).collect(), "branch {branch}");
        }
        let c = &mut database.get();
        assert_eq!((count(c, "guarantee"), count(c, "revision"), count(c, "guarantee_sequence")), (300, 300, 2));
        assert!(unfinished(c, at(1_000), 1_000).unwrap().iter().all(|work| work.at != Awaits::Issue), "issued_lines miscounted");
    }

    /// The same lines under two fiscal terms use two counters; the unique key decides.
    fn line_gets_one_number_across_terms(database: &Database) {
        application::insert_new(&mut database.get(), &(0..20).map(|n| accepted(&n.to_string(), 1)).collect::<Vec<_>>()).unwrap();
        let start = Barrier::new(2);
        let fresh: usize = std::thread::scope(|scope| {
            let workers: Vec<_> = ["074", "075"]
                .into_iter()
                .map(|term| {
                    let start = &start;
                    scope.spawn(move || {
                        let mut c = database.get_when_free();
                        start.wait();
                        (0..20)
                            .flat_map(|n| {
                                issue_until_done(&mut c, &[GuaranteeDraft { term: term.to_owned(), ..draft(&n.to_string(), 0) }])
                            })
                            .filter(|issued| issued.fresh)
                            .count()
                    })
                })
                .collect();
            workers.into_iter().map(|worker| worker.join().unwrap()).sum()
        });
        assert_eq!(fresh, 20);
        let c = &mut database.get();
        assert_eq!(count(c, "guarantee"), 20);
        // Neither counter has a gap.
        let ids: Vec<_> = (0..20).map(|n| ids::guarantee(&ids::application("portal", &n.to_string()), 0)).collect();
        let rows = guarantee::by_ids(c, &ids.iter().map(String::as_str).collect::<Vec<_>>()).unwrap();
        let mut terms: BTreeMap<String, BTreeSet<i64>> = BTreeMap::new();
        for row in rows.into_iter().flatten() {
            terms.entry(row.term).or_default().insert(row.sequence);
        }
        for sequences in terms.values() {
            assert_eq!(*sequences, (1..=i64::try_from(sequences.len()).unwrap()).collect());
        }
    }
}

/// Retries on contention, like a worker.
fn issue_until_done(connection: &mut Connection, drafts: &[GuaranteeDraft]) -> Vec<Issued> {
    eventually("a batch is issued", Duration::from_mins(1), || {
        match issue(connection, drafts, at(2), build) {
            Ok(issued) => Some(issued),
            Err(error) if error.is_contention() => None,
            Err(error) => panic!("{error:?}"),
        }
    })
}
