//! Works and their commitments, on one connection.

use hosho_schema::{
    messages::BaseV1,
    models::works::{self, Commitment, OpenCommitment},
};

use super::*;

pub(super) fn commitment(id: &str, line: i64, works: &str, product: ProductV1) -> Commitment {
    Commitment {
        works_id: ids::works(works),
        works_number: None,
        fiscal_year: 2026,
        product,
        application_id: ids::application("portal", id),
        line,
        medium: MediumV1::Electronic,
        amount: 40,
        base: BaseV1::ContractPrice,
        low_price: false,
        engaged_at: at(1),
    }
}

/// Locks the works and stores commitments of stored applications.
fn engage(connection: &mut Connection, rows: &[Commitment]) -> Result<(), DbError> {
    connection.transaction(|c| {
        works::lock(c, &rows.iter().map(|row| row.works_id.as_str()).collect::<Vec<_>>())?;
        works::commit(c, rows)
    })
}

/// The open commitments of works, as (application id, line, number).
pub(super) fn open(connection: &mut Connection, works: &str) -> Vec<(String, i64, Option<String>)> {
    let id = ids::works(works);
    let rows = works::commitments(connection, &[&id]).unwrap().remove(&id).unwrap_or_default();
    rows.into_iter()
        .map(|OpenCommitment { commitment, number, .. }| (commitment.application_id, commitment.line, number))
        .collect()
}

fn is_refused(result: Result<(), DbError>, kind: &str) -> bool {
    let error = result.unwrap_err();
    assert!(!error.is_contention() && !error.is_unavailable(), "{error:?}");
    format!("{error:?}").contains(kind)
}

on_both_databases! {
    fn commitments_are_read_by_works_with_numbers(database: &Database) {
        let c = &mut database.get();
        application::insert_missing(c, &[accepted("a", 2), accepted("b", 1)]).unwrap();
        let advance = Commitment { medium: MediumV1::Paper, amount: i64::MAX, ..commitment("a", 0, "bridge", ProductV1::AdvancePayment) };
        let performance = commitment("a", 1, "bridge", ProductV1::Performance);
        let elsewhere = Commitment { engaged_at: at(0), ..commitment("b", 0, "road", ProductV1::AdvancePayment) };
        engage(c, &[performance.clone(), elsewhere.clone(), advance.clone()]).unwrap();

        let [bridge, road, tunnel] = ["bridge", "road", "tunnel"].map(ids::works);
        let stored = |c: &mut Connection| works::commitments(c, &[&road, &bridge, &tunnel, &road]).unwrap();
        let unissued = |row: &Commitment| OpenCommitment {
            commitment: Commitment { engaged_at: micros(row.engaged_at), ..row.clone() },
            source: "portal".to_owned(),
            number: None,
            arrived_at: None,
        };
        let rows = stored(c);
        assert_eq!(rows.len(), 2, "works without commitments are left out");
        assert_eq!(rows[&bridge], [unissued(&advance), unissued(&performance)]);
        assert_eq!(rows[&road], [unissued(&elsewhere)]);
        assert!(works::commitments(c, &[]).unwrap().is_empty());

        issue(c, &[draft("a", 1)], at(2), build).unwrap();
        let rows = stored(c);
        assert_eq!(rows[&bridge], [unissued(&advance), OpenCommitment { number: Some("31075-00001M".to_owned()), ..unissued(&performance) }]);
        assert_eq!(rows[&road], [unissued(&elsewhere)]);
        assert_eq!((count(c, "works"), count(c, "engagement")), (2, 3));

        let guarantee = ids::guarantee(&ids::application("portal", "a"), 1);
        revision::set_arrived(c, &[&ids::revision(&guarantee, 0)], at(3)).unwrap();
        assert_eq!(stored(c)[&bridge].iter().map(|row| row.arrived_at).collect::<Vec<_>>(), [None, Some(micros(at(3)))]);
    }

    fn locking_works_repeatedly_inserts_them_once(database: &Database) {
        let c = &mut database.get();
        let [bridge, road, tunnel] = ["bridge", "road", "tunnel"].map(ids::works);
        works::lock(c, &[]).unwrap();
        works::lock(c, &[&road, &bridge, &road]).unwrap();
        works::lock(c, &[&tunnel, &bridge, &road]).unwrap();
        assert_eq!(count(c, "works"), 3);
    }

    fn rejects_second_open_commitment_of_a_product(database: &Database) {
        let c = &mut database.get();
        application::insert_missing(c, &[accepted("a", 2), accepted("b", 2)]).unwrap();
        let advance = |id: &str, line| commitment(id, line, "bridge", ProductV1::AdvancePayment);
        engage(c, &[advance("a", 0)]).unwrap();
        assert!(is_refused(engage(c, &[advance("b", 0)]), "UniqueViolation"));
        assert!(is_refused(engage(c, &[commitment("b", 1, "road", ProductV1::Performance), advance("b", 0)]), "UniqueViolation"));
        assert!(open(c, "road").is_empty(), "the whole transaction is rolled back");
        // Other works, and another product.
        engage(c, &[commitment("b", 0, "road", ProductV1::AdvancePayment), commitment("b", 1, "bridge", ProductV1::Performance)]).unwrap();
        // Another year, and another number of the same name.
        application::insert_missing(c, &[accepted("c", 2)]).unwrap();
        let later = Commitment { fiscal_year: 2027, ..advance("c", 0) };
        let numbered = Commitment { works_number: Some("2".to_owned()), ..advance("c", 1) };
        engage(c, &[later, numbered.clone()]).unwrap();
        assert!(is_refused(engage(c, &[Commitment { line: 0, ..numbered }]), "UniqueViolation"));
        // A line has one commitment.
        assert!(is_refused(engage(c, &[commitment("a", 0, "tunnel", ProductV1::Performance)]), "UniqueViolation"));
    }

    fn ended_commitment_frees_its_works(database: &Database) {
        let c = &mut database.get();
        application::insert_missing(c, &[accepted("a", 2), accepted("b", 1), accepted("c", 1)]).unwrap();
        let [a, b] = ["a", "b"].map(|id| ids::application("portal", id));
        let first = commitment("a", 1, "bridge", ProductV1::AdvancePayment);
        engage(c, &[commitment("a", 0, "bridge", ProductV1::Performance), first.clone(), commitment("c", 0, "road", ProductV1::AdvancePayment)]).unwrap();
        assert!(is_refused(engage(c, &[commitment("b", 0, "bridge", ProductV1::AdvancePayment)]), "UniqueViolation"));

        // (b, 0) has no commitment; (a, 0) and (c, 0) are not selected.
        assert_eq!(works::end(c, &[(&b, 0), (&a, 1), (&a, 1), ("no such", 1)], at(5)).unwrap(), 1);
        assert_eq!(works::end(c, &[(&a, 1)], at(6)).unwrap(), 0, "already ended");
        assert_eq!(works::end(c, &[], at(6)).unwrap(), 0);
        assert_eq!(open(c, "bridge"), [(a.clone(), 0, None)]);
        assert_eq!(open(c, "road").len(), 1);

        engage(c, &[commitment("b", 0, "bridge", ProductV1::AdvancePayment)]).unwrap();
        assert_eq!(open(c, "bridge").len(), 2);
        assert!(is_refused(engage(c, &[commitment("c", 0, "bridge", ProductV1::AdvancePayment)]), "UniqueViolation"));
        // An ended commitment is kept and cannot be stored again.
        assert_eq!(count(c, "engagement"), 4);
        assert!(is_refused(engage(c, &[first]), "UniqueViolation"));
        // Several may end: only open commitments exclude each other.
        assert_eq!(works::end(c, &[(&b, 0)], at(7)).unwrap(), 1);
        assert_eq!(open(c, "bridge"), [(a, 0, None)]);
    }

    fn rejects_commitment_without_application_works_or_amount(database: &Database) {
        let c = &mut database.get();
        application::insert_missing(c, &[accepted("a", 1)]).unwrap();
        let good = commitment("a", 0, "bridge", ProductV1::AdvancePayment);
        assert!(is_refused(engage(c, &[commitment("missing", 0, "bridge", ProductV1::AdvancePayment)]), "ForeignKeyViolation"));
        assert!(is_refused(works::commit(c, std::slice::from_ref(&good)), "ForeignKeyViolation"), "works without a row");
        for amount in [0, -1] {
            assert!(is_refused(engage(c, &[Commitment { amount, ..good.clone() }]), "CheckViolation"));
        }
        assert!(is_refused(engage(c, &[Commitment { line: -1, ..good.clone() }]), "CheckViolation"));
        assert_eq!(count(c, "engagement"), 0);
        engage(c, &[Commitment { amount: 1, ..good }]).unwrap();
    }

    fn handles_more_works_than_bind_parameters(database: &Database) {
        let c = &mut database.get();
        application::insert_missing(c, &[accepted("a", 5_000)]).unwrap();
        let ids: Vec<_> = (0..33_000).map(|n| ids::works(&n.to_string())).collect();
        let ids: Vec<_> = ids.iter().map(String::as_str).collect();
        works::lock(c, &ids).unwrap();
        assert_eq!(count(c, "works"), 33_000);
        let rows: Vec<_> = (0..5_000).map(|n| commitment("a", n, &(n * 6).to_string(), ProductV1::Performance)).collect();
        engage(c, &rows).unwrap();
        assert_eq!(works::commitments(c, &ids).unwrap().len(), 5_000);

        let mut lines: Vec<_> = (0..33_000).map(|n| (ids::application("portal", &format!("other {n}")), 7)).collect();
        lines.push((ids::application("portal", "a"), 7));
        let lines: Vec<_> = lines.iter().map(|(id, line)| (id.as_str(), *line)).collect();
        assert_eq!(works::end(c, &lines, at(5)).unwrap(), 1);
        assert_eq!(works::commitments(c, &ids).unwrap().len(), 4_999);
    }

    fn concurrent_duplicate_application_is_contention(database: &Database) {
        let c = &mut database.get();
        application::insert_missing(c, &[accepted("a", 1)]).unwrap();
        let error = c.transaction(|c| application::insert_missing(c, &[accepted("b", 1), accepted("a", 1)])).unwrap_err();
        assert!(error.is_contention(), "{error:?}");
        // A duplicate within one batch is not contention: a retry would fail too.
        assert!(is_refused(c.transaction(|c| application::insert_missing(c, &[accepted("b", 1), accepted("b", 1)])), "UniqueViolation"));
        assert_eq!(count(c, "application"), 1);
        application::insert_missing(c, &[]).unwrap();
        application::insert_missing(c, &[accepted("b", 1)]).unwrap();
    }
}
