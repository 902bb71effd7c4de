//! Works and their commitments, one connection at a time.

use hosho_schema::{
    messages::BaseV1,
    models::works::{self, Commitment, OpenCommitment},
};

use super::*;

pub(super) fn wants(id: &str, line: i64, works: &str, product: ProductV1) -> Commitment {
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

/// Locks the works and engages them, for applications stored before.
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
    fn engagements_are_read_back_by_works_and_gain_their_number(database: &Database) {
        let c = &mut database.get();
        application::insert_missing(c, &[accepted("a", 2), accepted("b", 1)]).unwrap();
        let advance = Commitment { medium: MediumV1::Paper, amount: i64::MAX, ..wants("a", 0, "bridge", ProductV1::AdvancePayment) };
        let performance = wants("a", 1, "bridge", ProductV1::Performance);
        let elsewhere = Commitment { engaged_at: at(0), ..wants("b", 0, "road", ProductV1::AdvancePayment) };
        engage(c, &[performance.clone(), elsewhere.clone(), advance.clone()]).unwrap();

        let [bridge, road, tunnel] = ["bridge", "road", "tunnel"].map(ids::works);
        let look = |c: &mut Connection| works::commitments(c, &[&road, &bridge, &tunnel, &road]).unwrap();
        let unissued = |row: &Commitment| OpenCommitment {
            commitment: Commitment { engaged_at: micros(row.engaged_at), ..row.clone() },
            source: "portal".to_owned(),
            number: None,
            arrived_at: None,
        };
        let rows = look(c);
        assert_eq!(rows.len(), 2, "works without commitments are left out");
        assert_eq!(rows[&bridge], [unissued(&advance), unissued(&performance)]);
        assert_eq!(rows[&road], [unissued(&elsewhere)]);
        assert!(works::commitments(c, &[]).unwrap().is_empty());

        issue(c, &[draft("a", 1)], at(2), build).unwrap();
        let rows = look(c);
        assert_eq!(rows[&bridge], [unissued(&advance), OpenCommitment { number: Some("31075-00001M".to_owned()), ..unissued(&performance) }]);
        assert_eq!(rows[&road], [unissued(&elsewhere)]);
        assert_eq!((count(c, "works"), count(c, "engagement")), (2, 3));

        let guarantee = ids::guarantee(&ids::application("portal", "a"), 1);
        revision::set_arrived(c, &[&ids::revision(&guarantee, 0)], at(3)).unwrap();
        assert_eq!(look(c)[&bridge].iter().map(|row| row.arrived_at).collect::<Vec<_>>(), [None, Some(micros(at(3)))]);
    }

    fn works_are_made_once_however_often_they_are_locked(database: &Database) {
        let c = &mut database.get();
        let [bridge, road, tunnel] = ["bridge", "road", "tunnel"].map(ids::works);
        works::lock(c, &[]).unwrap();
        works::lock(c, &[&road, &bridge, &road]).unwrap();
        works::lock(c, &[&tunnel, &bridge, &road]).unwrap();
        assert_eq!(count(c, "works"), 3);
    }

    fn the_same_product_is_open_once_per_works(database: &Database) {
        let c = &mut database.get();
        application::insert_missing(c, &[accepted("a", 2), accepted("b", 2)]).unwrap();
        let advance = |id: &str, line| wants(id, line, "bridge", ProductV1::AdvancePayment);
        engage(c, &[advance("a", 0)]).unwrap();
        assert!(is_refused(engage(c, &[advance("b", 0)]), "UniqueViolation"));
        assert!(is_refused(engage(c, &[wants("b", 1, "road", ProductV1::Performance), advance("b", 0)]), "UniqueViolation"));
        assert!(open(c, "road").is_empty(), "rolled back whole");
        // Other works, and another product.
        engage(c, &[wants("b", 0, "road", ProductV1::AdvancePayment), wants("b", 1, "bridge", ProductV1::Performance)]).unwrap();
        // Another year, and another number of the same name.
        application::insert_missing(c, &[accepted("c", 2)]).unwrap();
        let later = Commitment { fiscal_year: 2027, ..advance("c", 0) };
        let numbered = Commitment { works_number: Some("2".to_owned()), ..advance("c", 1) };
        engage(c, &[later, numbered.clone()]).unwrap();
        assert!(is_refused(engage(c, &[Commitment { line: 0, ..numbered }]), "UniqueViolation"));
        // A line is for one product of one works.
        assert!(is_refused(engage(c, &[wants("a", 0, "tunnel", ProductV1::Performance)]), "UniqueViolation"));
    }

    fn an_ended_engagement_leaves_its_works_free(database: &Database) {
        let c = &mut database.get();
        application::insert_missing(c, &[accepted("a", 2), accepted("b", 1), accepted("c", 1)]).unwrap();
        let [a, b] = ["a", "b"].map(|id| ids::application("portal", id));
        let first = wants("a", 1, "bridge", ProductV1::AdvancePayment);
        engage(c, &[wants("a", 0, "bridge", ProductV1::Performance), first.clone(), wants("c", 0, "road", ProductV1::AdvancePayment)]).unwrap();
        assert!(is_refused(engage(c, &[wants("b", 0, "bridge", ProductV1::AdvancePayment)]), "UniqueViolation"));

        // (b, 0) engaged nothing, and (a, 0) and (c, 0) are not meant.
        assert_eq!(works::end(c, &[(&b, 0), (&a, 1), (&a, 1), ("no such", 1)], at(5)).unwrap(), 1);
        assert_eq!(works::end(c, &[(&a, 1)], at(6)).unwrap(), 0, "it has ended");
        assert_eq!(works::end(c, &[], at(6)).unwrap(), 0);
        assert_eq!(open(c, "bridge"), [(a.clone(), 0, None)]);
        assert_eq!(open(c, "road").len(), 1);

        engage(c, &[wants("b", 0, "bridge", ProductV1::AdvancePayment)]).unwrap();
        assert_eq!(open(c, "bridge").len(), 2);
        assert!(is_refused(engage(c, &[wants("c", 0, "bridge", ProductV1::AdvancePayment)]), "UniqueViolation"));
        // What has ended is kept, and does not begin again.
        assert_eq!(count(c, "engagement"), 4);
        assert!(is_refused(engage(c, &[first]), "UniqueViolation"));
        // Ended again and again: only open ones exclude each other.
        assert_eq!(works::end(c, &[(&b, 0)], at(7)).unwrap(), 1);
        assert_eq!(open(c, "bridge"), [(a, 0, None)]);
    }

    fn an_engagement_needs_its_application_its_works_and_an_amount(database: &Database) {
        let c = &mut database.get();
        application::insert_missing(c, &[accepted("a", 1)]).unwrap();
        let good = wants("a", 0, "bridge", ProductV1::AdvancePayment);
        assert!(is_refused(engage(c, &[wants("nobody", 0, "bridge", ProductV1::AdvancePayment)]), "ForeignKeyViolation"));
        assert!(is_refused(works::commit(c, std::slice::from_ref(&good)), "ForeignKeyViolation"), "works that nobody locked");
        for amount in [0, -1] {
            assert!(is_refused(engage(c, &[Commitment { amount, ..good.clone() }]), "CheckViolation"));
        }
        assert!(is_refused(engage(c, &[Commitment { line: -1, ..good.clone() }]), "CheckViolation"));
        assert_eq!(count(c, "engagement"), 0);
        engage(c, &[Commitment { amount: 1, ..good }]).unwrap();
    }

    fn more_works_than_a_statement_takes(database: &Database) {
        let c = &mut database.get();
        application::insert_missing(c, &[accepted("a", 5_000)]).unwrap();
        let ids: Vec<_> = (0..33_000).map(|n| ids::works(&n.to_string())).collect();
        let ids: Vec<_> = ids.iter().map(String::as_str).collect();
        works::lock(c, &ids).unwrap();
        assert_eq!(count(c, "works"), 33_000);
        let rows: Vec<_> = (0..5_000).map(|n| wants("a", n, &(n * 6).to_string(), ProductV1::Performance)).collect();
        engage(c, &rows).unwrap();
        assert_eq!(works::commitments(c, &ids).unwrap().len(), 5_000);

        let mut lines: Vec<_> = (0..33_000).map(|n| (ids::application("portal", &format!("other {n}")), 7)).collect();
        lines.push((ids::application("portal", "a"), 7));
        let lines: Vec<_> = lines.iter().map(|(id, line)| (id.as_str(), *line)).collect();
        assert_eq!(works::end(c, &lines, at(5)).unwrap(), 1);
        assert_eq!(works::commitments(c, &ids).unwrap().len(), 4_999);
    }

    fn an_application_that_is_not_missing_sends_its_transaction_back(database: &Database) {
        let c = &mut database.get();
        application::insert_missing(c, &[accepted("a", 1)]).unwrap();
        let overtaken = c.transaction(|c| application::insert_missing(c, &[accepted("b", 1), accepted("a", 1)])).unwrap_err();
        assert!(overtaken.is_contention(), "{overtaken:?}");
        // Not contention: alone, each has its turn.
        assert!(is_refused(c.transaction(|c| application::insert_missing(c, &[accepted("b", 1), accepted("b", 1)])), "UniqueViolation"));
        assert_eq!(count(c, "application"), 1);
        application::insert_missing(c, &[]).unwrap();
        application::insert_missing(c, &[accepted("b", 1)]).unwrap();
    }
}
