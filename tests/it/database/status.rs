//! Unfinished work, and the status of an application.

use super::*;

on_both_databases! {
    fn finds_unfinished_work_by_stage(database: &Database) {
        let c = &mut database.get();
        let stages = |c: &mut Connection| unfinished(c, at(100), 100).unwrap().into_iter().map(|work| (work.line, work.at)).collect::<Vec<_>>();
        application::insert_new(c, &[accepted("a", 2), rejected("r", "[]")]).unwrap();
        assert_eq!(stages(c), [(0, Awaits::Issue), (1, Awaits::Issue)]);
        assert!(unfinished(c, at(0), 100).unwrap().is_empty(), "too young");

        let electronic = issue(c, &[draft("a", 1)], at(2), build).unwrap().remove(0);
        assert_eq!(stages(c), [(0, Awaits::Issue), (1, Awaits::Mint)]);
        let work = unfinished(c, at(100), 100).unwrap().remove(1);
        assert_eq!((work.guarantee_id, work.revision), (Some(electronic.guarantee.id.clone()), Some(0)));

        let paper_draft = GuaranteeDraft { medium: MediumV1::Paper, ..draft("a", 0) };
        let on_paper = issue(c, &[paper_draft], at(3), build).unwrap().remove(0).revision.id;
        assert_eq!(stages(c), [(1, Awaits::Mint), (0, Awaits::Render)]);
        assert_eq!(unfinished(c, at(100), 1).unwrap().len(), 1);

        authentication_key::insert_new(c, &[key(&electronic.guarantee.id, "h")]).unwrap();
        document::insert_new(c, &[paper(&electronic.revision.id, Kind::Certificate), paper(&on_paper, Kind::Certificate)]).unwrap();
        assert_eq!(stages(c), [(1, Awaits::Render), (0, Awaits::Render)], "no notice, and none has arrived");
        revision::set_arrived(c, &[&electronic.revision.id, &on_paper], at(10)).unwrap();
        assert_eq!(stages(c), [(1, Awaits::Render), (0, Awaits::Dispatch)], "no notice");
        document::insert_new(c, &[paper(&electronic.revision.id, Kind::Notice)]).unwrap();
        assert_eq!(stages(c), [(1, Awaits::Dispatch), (0, Awaits::Dispatch)]);
        revision::set_completed(c, &[&electronic.revision.id, &on_paper], at(10)).unwrap();
        assert_eq!(stages(c), []);
    }

    fn reads_arrived_revisions_by_page(database: &Database) {
        let c = &mut database.get();
        let issued: Vec<Issued> = ["a", "b", "c"].into_iter().flat_map(|name| issued(c, name, 1)).collect();
        let mut expected: Vec<(Revision, Guarantee)> = Vec::new();
        for issued in &issued[..2] {
            revision::set_arrived(c, &[&issued.revision.id], at(10)).unwrap();
            let row = Revision { arrived_at: Some(micros(at(10))), ..issued.revision.clone() };
            expected.push((row, issued.guarantee.clone()));
        }
        expected.sort_by(|one, other| one.0.id.cmp(&other.0.id));
        assert_eq!(revision::arrived(c).unwrap(), 2);
        let first = revision::arrived_after(c, "", 1).unwrap();
        assert_eq!(first, expected[..1]);
        assert_eq!(revision::arrived_after(c, &first[0].0.id, 9).unwrap(), expected[1..]);
        assert_eq!(revision::arrived_after(c, &expected[1].0.id, 9).unwrap(), []);
    }

    fn takes_overdue_work_with_growing_intervals(database: &Database) {
        let c = &mut database.get();
        application::insert_new(c, &[accepted("a", 2)]).unwrap();
        let hour = TimeDelta::hours(1);
        let taken = |c: &mut Connection, seconds: i64| take_unfinished(c, at(seconds), hour, 100).unwrap().len();
        assert_eq!(taken(c, 3_600), 0, "too young");
        assert_eq!(taken(c, 3_700), 2);
        assert_eq!(taken(c, 3_700), 0, "already taken");
        assert_eq!(taken(c, 3_700 + 3_599), 0);
        assert_eq!(taken(c, 3_700 + 3_600), 2, "after an hour");
        assert_eq!(taken(c, 7_300 + 7_199), 0);
        assert_eq!(taken(c, 7_300 + 7_200), 2, "after two");
        // Intervals are per item, and `unfinished` ignores them.
        issue(c, &[draft("a", 1)], at(10), build).unwrap();
        assert_eq!(taken(c, 14_600), 1);
        assert_eq!(unfinished(c, at(14_600), 100).unwrap().len(), 2);
    }

    fn status_contains_all_rows_of_an_application(database: &Database) {
        let c = &mut database.get();
        let issued_a = issued(c, "a", 2);
        let issued_b = issued(c, "b", 1);
        application::insert_new(c, &[accepted("c", 1)]).unwrap();
        let (a1, b0) = (&issued_a[1], &issued_b[0]);
        authentication_key::insert_new(c, &[key(&a1.guarantee.id, "h")]).unwrap();
        document::insert_new(c, &[paper(&a1.revision.id, Kind::Notice), paper(&b0.revision.id, Kind::Certificate)]).unwrap();
        mail::insert_new(c, &[new_mail(&b0.revision.id, "a@example.jp")]).unwrap();

        let id = |upstream: &str| ids::application("portal", upstream);
        assert_eq!(locate(c, &a1.guarantee.number).unwrap(), [id("a")]);
        assert_eq!(locate(c, "b").unwrap(), [id("b")]);
        assert_eq!(locate(c, &id("b")).unwrap(), [id("b")]);
        assert!(locate(c, "nothing").unwrap().is_empty());

        let found = status(c, &[&id("c"), &id("b"), "no such", &id("a")]).unwrap();
        let [Some(c_), Some(b), None, Some(a)] = &found[..] else { panic!("{found:?}") };
        assert!(c_.guarantees.is_empty() && c_.application.lines == 1);
        assert_eq!((a.guarantees.len(), a.application.issued_lines), (2, 2));
        assert_eq!(a.guarantees[0].key_minted_at, None);
        assert_eq!(a.guarantees[1].key_minted_at, Some(micros(at(3))));
        assert_eq!(a.guarantees[1].guarantee, a1.guarantee);
        let details = &a.guarantees[1].revisions[0];
        assert_eq!((details.revision.id.as_str(), details.documents[0].kind), (a1.revision.id.as_str(), Kind::Notice));
        assert!(details.mails.is_empty() && a.guarantees[0].revisions[0].documents.is_empty());
        assert_eq!(b.guarantees[0].revisions[0].mails[0].state, State::Pending);
        assert_eq!(b.guarantees[0].revisions[0].documents[0].kind, Kind::Certificate);
    }
}
