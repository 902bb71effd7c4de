//! The ledger of mails.

use super::*;

on_both_databases! {
    fn claims_and_settles_mails_once(database: &Database) {
        let c = &mut database.get();
        let certificate = issued(c, "a", 1).remove(0).revision.id;
        let new = [new_mail(&certificate, "b@example.jp"), new_mail(&certificate, "a@example.jp"), new_mail(&certificate, "c@example.jp")];
        assert_eq!(mail::insert_new(c, &new).unwrap(), 3);
        assert_eq!(mail::insert_new(c, &new).unwrap(), 0);
        let ids: Vec<_> = new.iter().map(|new| ids::mail(&certificate, &new.recipient)).collect();
        let ids: Vec<_> = ids.iter().map(String::as_str).collect();

        let claimed = mail::claim(c, &ids, at(10), at(0)).unwrap();
        assert_eq!(claimed.iter().map(|row| row.id.as_str()).collect::<Vec<_>>(), ids, "in the order of the ids");
        assert!(claimed.iter().all(|row| row.state == State::Sending && row.attempts == 1 && row.claimed_at == Some(micros(at(10)))));
        assert!(mail::claim(c, &ids, at(11), at(0)).unwrap().is_empty(), "claimed twice");
        assert!(!format!("{:?}", claimed[0]).contains("example.jp"));

        // Certainly not sent: pending again, and no attempt is counted.
        assert_eq!(mail::release(c, &ids[2..]).unwrap(), 1);
        let again = mail::claim(c, &ids, at(12), at(0)).unwrap();
        assert_eq!(again.iter().map(|row| (row.id.as_str(), row.attempts)).collect::<Vec<_>>(), [(ids[2], 1)]);

        let settle = |id: &str, outcome, reply: &str| Settlement { id: id.to_owned(), outcome, reply: Some(reply.to_owned()) };
        let outcomes = [settle(ids[0], Outcome::Accepted, "250 queued"), settle(ids[1], Outcome::Rejected, "550 no"), settle(ids[2], Outcome::Unknown, "")];
        assert_eq!(mail::settle(c, &outcomes, at(13)).unwrap(), 3);
        // The first final reply of the server is kept.
        assert_eq!(mail::settle(c, &[settle(ids[0], Outcome::Unknown, ""), settle(ids[1], Outcome::Accepted, "")], at(14)).unwrap(), 0);
        assert_eq!(mail::release(c, &ids).unwrap(), 0);
        let rows = mail::by_revisions(c, &[&certificate]).unwrap().remove(0);
        let states: BTreeMap<_, _> = rows.iter().map(|row| (row.id.as_str(), (row.state, row.settled_at))).collect();
        assert_eq!(states[ids[0]], (State::Accepted, Some(micros(at(13)))));
        assert_eq!(states[ids[1]], (State::Rejected, Some(micros(at(13)))));
        assert_eq!(states[ids[2]], (State::Unknown, Some(micros(at(13)))));
    }

    fn unknown_mail_is_resent_once_after_a_delay(database: &Database) {
        let c = &mut database.get();
        let issued = issued(c, "a", 1).remove(0);
        mail::insert_new(c, &[new_mail(&issued.revision.id, "a@example.jp")]).unwrap();
        let id = ids::mail(&issued.revision.id, "a@example.jp");
        mail::claim(c, &[&id], at(10), at(0)).unwrap();

        // A redelivery finds the mail claimed by another worker.
        assert_eq!(mail::adopt_orphans(c, &[&id], at(20)).unwrap()[0].state, State::Unknown);
        assert!(mail::adopt_orphans(c, &[&id], at(21)).unwrap().is_empty());
        assert!(mail::claim(c, &[&id], at(22), at(20)).unwrap().is_empty(), "too early");
        assert!(mail::resend_due(c, at(20), 10).unwrap().is_empty());
        let due = mail::resend_due(c, at(21), 10).unwrap();
        assert_eq!((due.len(), &due[0].mail_id, &due[0].guarantee_id, due[0].revision), (1, &id, &issued.guarantee.id, 0));

        // Due, but the mail server is unavailable: still unknown, and due again after the same delay.
        assert_eq!(mail::claim(c, &[&id], at(30), at(21)).unwrap()[0].attempts, 2);
        assert_eq!(mail::release(c, &[&id]).unwrap(), 1);
        assert!(mail::resend_due(c, at(30), 10).unwrap().is_empty());
        assert_eq!(mail::resend_due(c, at(31), 10).unwrap().len(), 1);

        // The worker crashes in the second attempt too: an operator decides.
        let claimed = mail::claim(c, &[&id], at(40), at(31)).unwrap();
        assert_eq!((claimed[0].attempts, claimed[0].settled_at), (2, None));
        assert!(mail::mark_unknown(c, at(40), at(50)).unwrap().is_empty());
        assert_eq!(mail::mark_unknown(c, at(41), at(50)).unwrap().len(), 1);
        assert!(mail::resend_due(c, at(1_000), 10).unwrap().is_empty());
        assert!(mail::claim(c, &[&id], at(1_000), at(1_000)).unwrap().is_empty());

        // The worker was alive after all and records the result.
        let accepted = Settlement { id: id.clone(), outcome: Outcome::Accepted, reply: None };
        assert_eq!(mail::settle(c, &[accepted], at(60)).unwrap(), 1);
    }

    fn reopened_mail_keeps_its_unknown_attempt(database: &Database) {
        let c = &mut database.get();
        let certificate = issued(c, "a", 1).remove(0).revision.id;
        mail::insert_new(c, &[new_mail(&certificate, "a@example.jp"), new_mail(&certificate, "b@example.jp")]).unwrap();
        let (doubtful, certain) = (ids::mail(&certificate, "a@example.jp"), ids::mail(&certificate, "b@example.jp"));
        let settle = |c: &mut Connection, id: &str, outcome, second| {
            let settlement = Settlement { id: id.to_owned(), outcome, reply: None };
            assert_eq!(mail::settle(c, &[settlement], at(second)).unwrap(), 1);
        };
        mail::claim(c, &[&doubtful, &certain], at(10), at(0)).unwrap();
        settle(c, &doubtful, Outcome::Unknown, 11);
        settle(c, &certain, Outcome::Rejected, 11);
        mail::claim(c, &[&doubtful], at(20), at(12)).unwrap();
        settle(c, &doubtful, Outcome::Rejected, 21);

        assert_eq!(mail::reopen(c, &[&doubtful, &certain]).unwrap(), 2);
        let claimed = mail::claim(c, &[&doubtful, &certain], at(30), at(0)).unwrap();
        assert_eq!(claimed.iter().map(|row| row.attempts).collect::<Vec<_>>(), [2, 1]);
        for id in [&doubtful, &certain] {
            settle(c, id, Outcome::Unknown, 31);
        }
        let due = mail::resend_due(c, at(40), 10).unwrap();
        assert_eq!(due.into_iter().map(|due| due.mail_id).collect::<Vec<_>>(), [certain]);
    }

    fn one_of_many_workers_claims_a_mail(database: &Database) {
        let c = &mut database.get_when_free();
        let certificate = issued(c, "a", 1).remove(0).revision.id;
        let new: Vec<_> = (0..50).map(|n| new_mail(&certificate, &format!("{n}@example.jp"))).collect();
        mail::insert_new(c, &new).unwrap();
        let ids: Vec<_> = new.iter().map(|new| ids::mail(&certificate, &new.recipient)).collect();
        let mut claimed: Vec<String> = std::thread::scope(|scope| {
            let workers: Vec<_> = (0..8)
                .map(|_| {
                    let ids = &ids;
                    scope.spawn(move || {
                        let mut c = Pool::open(&database.url, 1).unwrap().get().unwrap();
                        let ids: Vec<_> = ids.iter().map(String::as_str).collect();
                        ids.chunks(5).flat_map(|ids| mail::claim(&mut c, ids, at(10), at(0)).unwrap()).map(|row| row.id).collect::<Vec<_>>()
                    })
                })
                .collect();
            workers.into_iter().flat_map(|worker| worker.join().unwrap()).collect()
        });
        claimed.sort();
        let mut ids = ids;
        ids.sort();
        assert_eq!(claimed, ids);
    }
}
