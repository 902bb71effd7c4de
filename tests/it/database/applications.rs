//! Applications, revisions, keys and documents: inserted once, returned by id.

use super::*;

on_both_databases! {
    fn first_decision_on_an_application_is_kept(database: &Database) {
        let c = &mut database.get();
        let rejected = Application { calculations: "[]".to_owned(), traceparent: None, ..rejected("b", "[]") };
        assert_eq!(application::insert_new(c, &[accepted("a", 2), rejected, accepted("a", 2)]).unwrap(), 2);
        assert_eq!(application::insert_new(c, &[accepted("b", 1), accepted("a", 7)]).unwrap(), 0);
        assert_eq!(application::insert_new(c, &[]).unwrap(), 0);

        let rows = application::by_upstream_ids(c, &[("portal", "b"), ("other", "a"), ("portal", "a"), ("portal", "b")]).unwrap();
        let [Some(b), None, Some(a), Some(again)] = &rows[..] else { panic!("{rows:?}") };
        assert_eq!(b, again);
        assert_eq!((b.status, b.lines, &b.snapshot, b.violations.as_deref()), (Status::Rejected, 0, &None, Some("[]")));
        assert_eq!((a.status, a.lines, a.issued_lines), (Status::Accepted, 2, 0));
        assert_eq!((b.calculations.as_str(), a.calculations.as_str()), ("[]", "[\"a\"]"));
        // The text is stored byte for byte, because it is hashed.
        assert_eq!(a.snapshot.as_deref(), Some("{\"id\":\"a\",  \"name\":\"髙﨑𠮷\"}"));
        assert_eq!((a.received_at, a.decided_at), (micros(at(0)), micros(at(1))));
        assert_eq!(a.received_at.nanosecond(), 123_456_000);
        assert!(a.traceparent.is_some() && b.traceparent.is_none());
        let printed = format!("{a:?}");
        assert!(!printed.contains('髙'), "{printed}");
    }

    fn finds_applications_by_either_id(database: &Database) {
        let c = &mut database.get();
        let other = Application {
            id: ids::application("other", "a"),
            source: "other".to_owned(),
            received_at: at(9),
            ..accepted("a", 1)
        };
        application::insert_new(c, &[accepted("a", 1), other, accepted("b", 1)]).unwrap();
        let sources = |rows: Vec<application::Application>| rows.into_iter().map(|row| row.source).collect::<Vec<_>>();
        assert_eq!(sources(application::find(c, "a").unwrap()), ["other", "portal"]);
        assert_eq!(sources(application::find(c, &ids::application("portal", "b")).unwrap()), ["portal"]);
        assert!(application::find(c, "' or 1=1 --").unwrap().is_empty());
    }

    fn handles_batches_larger_than_bind_parameters(database: &Database) {
        let c = &mut database.get();
        let new: Vec<_> = (0..3_000).map(|n| accepted(&n.to_string(), 1)).collect();
        assert_eq!(application::insert_new(c, &new).unwrap(), 3_000);
        let ids: Vec<_> = (0..33_000).map(|n| ids::application("portal", &n.to_string())).collect();
        let rows = application::by_ids(c, &ids.iter().map(String::as_str).collect::<Vec<_>>()).unwrap();
        assert_eq!(rows.len(), 33_000);
        assert!(rows.iter().enumerate().all(|(n, row)| row.as_ref().map(|row| row.upstream_id.clone()) == (n < 3_000).then(|| n.to_string())));
    }

    fn revision_arrives_and_completes_once(database: &Database) {
        let c = &mut database.get();
        let issued = issued(c, "a", 2);
        let (first, second) = (issued[0].revision.id.as_str(), issued[1].revision.id.as_str());
        assert_eq!(revision::set_arrived(c, &[first], at(10)).unwrap(), 1);
        assert_eq!(revision::set_arrived(c, &[first, second, "no such"], at(20)).unwrap(), 1);
        assert_eq!(revision::set_completed(c, &[second], at(30)).unwrap(), 1);
        assert_eq!(revision::set_completed(c, &[second], at(40)).unwrap(), 0);
        let keys = [(issued[1].guarantee.id.as_str(), 0), (issued[0].guarantee.id.as_str(), 1), (issued[0].guarantee.id.as_str(), 0)];
        let rows = revision::by_keys(c, &keys).unwrap();
        let [Some((second, guarantee)), None, Some((first, _))] = &rows[..] else { panic!("{rows:?}") };
        assert_eq!(guarantee, &issued[1].guarantee);
        assert_eq!((first.arrived_at, first.completed_at), (Some(micros(at(10))), None));
        assert_eq!((second.arrived_at, second.completed_at), (Some(micros(at(20))), Some(micros(at(30)))));
    }

    fn guarantee_keeps_its_first_key(database: &Database) {
        let c = &mut database.get();
        let issued = issued(c, "a", 2);
        let (first, second) = (issued[0].guarantee.id.as_str(), issued[1].guarantee.id.as_str());
        assert_eq!(authentication_key::insert_new(c, &[key(first, "h1")]).unwrap(), 1);
        // Another key for the first guarantee, and a used hash for the second.
        assert_eq!(authentication_key::insert_new(c, &[key(first, "h2"), key(second, "h1")]).unwrap(), 0);
        let rows = authentication_key::by_guarantees(c, &[second, first]).unwrap();
        let [None, Some(row)] = &rows[..] else { panic!("{rows:?}") };
        assert_eq!(row, &AuthenticationKey { minted_at: micros(at(3)), ..key(first, "h1") });
        assert_eq!(authentication_key::by_lookup_hash(c, "h1").unwrap().unwrap().guarantee_id, first);
        assert_eq!(authentication_key::by_lookup_hash(c, "h2").unwrap(), None);
        assert!(!format!("{row:?}").contains("h1"));
    }

    fn first_document_of_a_kind_is_kept(database: &Database) {
        let c = &mut database.get();
        let issued = issued(c, "a", 2);
        let (first, second) = (issued[0].revision.id.as_str(), issued[1].revision.id.as_str());
        assert_eq!(document::insert_new(c, &[paper(first, Kind::Notice), paper(first, Kind::Certificate)]).unwrap(), 2);
        assert_eq!(document::insert_new(c, &[Document { size: 1, ..paper(first, Kind::Notice) }]).unwrap(), 0);
        let rows = document::by_revisions(c, &[second, first]).unwrap();
        assert_eq!(rows[0], []);
        assert_eq!(rows[1].iter().map(|row| (row.kind, row.size)).collect::<Vec<_>>(), [(Kind::Certificate, 12_345), (Kind::Notice, 12_345)]);
    }
}
