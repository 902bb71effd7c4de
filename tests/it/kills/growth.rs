//! How long re-issuing takes, for so many guarantees in a database of so many: told as a table, deciding nothing but that each is
//! re-issued once.
//!
//! `HOSHO_DRILL_STORED` is the number of guarantees in the database, `HOSHO_DRILL_REISSUED` those of each run (`1000,10000,100000`). The
//! stored ones are copies of one that the program has issued, made by SQL, with numbers, identifiers and hashes of their own; they have
//! no key yet, so re-issuing them mints one too. No mail is wanted.

use std::time::{Duration, Instant};

use serde_json::{Value, json};

use super::{applications::SOURCE, crew::Crew, place, setting};
use crate::harness::{
    house::{House, example},
    process::eventually,
};

/// Guarantees of one branch and term: as many as numbers have room for.
const OF_TERM: usize = 99_999;

/// Copies made by one statement.
const PORTION: usize = 10_000;

/// Copies the guarantee of an application so often, with everything that was written of it but its key.
fn copy(crew: &mut Crew, application: &str, count: usize) {
    let (guarantee, certificate) = ("copy_guarantee", "copy_certificate");
    crew.sql.query("create extension if not exists \"uuid-ossp\"");
    crew.sql.query(&format!(
        "create temporary table copies as
         select i, uuid_generate_v4()::text as application,
                uuid_generate_v5('7d0b5a86-3c1e-5f42-9b57-e1f420c683da', 'x')::text as {guarantee}, ''::text as {certificate},
                '31' || (900 + i / {OF_TERM})::text || '-' || lpad((i % {OF_TERM} + 1)::text, 5, '0') || 'M' as number
         from generate_series(0, {count} - 1) as i"
    ));
    crew.sql.query(
        "update copies set copy_guarantee =
             uuid_generate_v5('7d0b5a86-3c1e-5f42-9b57-e1f420c683da', 'guarantee:' || application || ':0')::text",
    );
    crew.sql.query(
        "update copies set copy_certificate =
             uuid_generate_v5('7d0b5a86-3c1e-5f42-9b57-e1f420c683da', 'certificate:' || copy_guarantee || ':0')::text",
    );
    crew.sql.query("create index on copies (i)");
    let statements = [
        "insert into application
         select c.application, a.source, a.upstream_id || '-' || c.i, a.payload_sha256, a.status, a.lines, a.issued_lines, a.snapshot,
                a.violations, a.calculations, a.traceparent, a.received_at, a.decided_at
         from application a, copies c where a.id = $1",
        "insert into guarantee
         select c.copy_guarantee, c.application, 0, g.product, g.medium, c.number, '31', substr(c.number, 3, 3),
                (substr(c.number, 7, 5))::bigint, g.obligee, g.issued_at, 0, null
         from guarantee g, copies c where g.application_id = $1",
        "insert into certificate
         select c.copy_certificate, c.copy_guarantee, 0, replace(x.content, g.number, c.number),
                encode(sha256(convert_to(replace(x.content, g.number, c.number), 'UTF8')), 'hex'), null,
                x.drawn_at, x.arrived_at, x.completed_at, 'new', null, null
         from certificate x join guarantee g on g.id = x.guarantee_id, copies c where g.application_id = $1",
        "insert into document
         select c.copy_certificate, d.kind, d.location, d.sha256, d.size, d.identity, d.stored_at, ''
         from document d join certificate x on x.id = d.certificate_id join guarantee g on g.id = x.guarantee_id, copies c
         where g.application_id = $1",
    ];
    // In portions: a question to the database has to be answered within a while.
    for from in (0..count).step_by(PORTION) {
        let portion = format!("'{application}' and c.i >= {from} and c.i < {from} + {PORTION}");
        for sql in statements {
            crew.sql.query(&sql.replace("$1", &portion));
        }
    }
    crew.sql.query("analyze");
}

/// Lets an amendment wait for the next `count` copies.
fn amend(crew: &mut Crew, application: &str, from: usize, count: usize) {
    let snapshot = crew.sql.query(&format!("select snapshot from application where id = '{application}'"));
    let mut after: Value = serde_json::from_str(snapshot[0][0].as_deref().unwrap()).unwrap();
    let representative = after["principal"]["company"]["representative"].as_str().unwrap();
    after["principal"]["company"]["representative"] = format!("{representative}　改").into();
    let end = from + count;
    let change = json!({ "kind": "amendment", "after": after }).to_string().replace('\'', "''");
    for from in (from..from + count).step_by(PORTION) {
        let until = (from + PORTION).min(end);
        crew.sql.query(&format!(
            "insert into change (id, source, upstream_id, payload_sha256, kind, number, guarantee_id, version, urgent, state, snapshot,
                             foreseen, calculations, received_at)
         select uuid_generate_v4()::text, '{SOURCE}', 'c-' || number, '', 'amendment', number, copy_guarantee, 1, false, 'pending',
                '{change}', '{{\"effect\":\"reissue\",\"revision\":1}}', '[]', now() at time zone 'utc'
         from copies where i >= {from} and i < {until}"
        ));
    }
}

#[test]
fn re_issuing_takes_as_long_for_each_however_many_there_are() {
    let _place = place();
    let stored: usize = setting("STORED").unwrap_or(2_000);
    let sizes: String = setting("REISSUED").unwrap_or_else(|| "100,400".to_owned());
    let sizes: Vec<usize> = sizes.split(',').map(|size| size.parse().unwrap()).collect();
    assert!(sizes.iter().sum::<usize>() <= stored, "more are to be re-issued than there are");
    let mut crew = Crew::new(House::new("growth"), stored);
    crew.start(&[("BATCH__RATE", "100000"), ("BATCH__IN_FLIGHT", "8000")]);
    let mut application: Value =
        serde_json::from_str(std::fs::read_to_string(example("applications.jsonl")).unwrap().lines().next().unwrap()).unwrap();
    application["products"].as_array_mut().unwrap().truncate(1);
    application["source"] = SOURCE.into();
    application["notification"] = json!({ "wanted": false });
    let file = crew.house.path("one.json");
    std::fs::write(&file, application.to_string()).unwrap();
    crew.house.succeed(&["enqueue", file.to_str().unwrap()]);
    eventually("the first guarantee", Duration::from_mins(2), || {
        (crew.number("select count(*) from certificate where completed_at is not null") == 1).then_some(())
    });
    let id = hosho_schema::ids::application(SOURCE, application["id"].as_str().unwrap());
    let began = Instant::now();
    copy(&mut crew, &id, stored);
    eprintln!("{stored} guarantees stored in {:.0} s", began.elapsed().as_secs_f64());

    let mut from = 0;
    eprintln!("| re-issued | s | a second | ms each |\n|---|---|---|---|");
    for size in sizes {
        amend(&mut crew, &id, from, size);
        from += size;
        let began = Instant::now();
        crew.house.succeed(&["batch", "start", "--reason", "a drill", "--detach"]);
        eventually("the end of the run", Duration::from_mins(2) + Duration::from_millis(100) * u32::try_from(size).unwrap(), || {
            crew.assert_alive();
            (crew.number("select count(*) from job_run where finished_at is null") == 0).then_some(())
        });
        let seconds = began.elapsed().as_secs_f64();
        let each = seconds / f64::from(u32::try_from(size).unwrap());
        eprintln!("| {size} | {seconds:.1} | {:.0} | {:.2} |", 1.0 / each, 1_000.0 * each);
        assert_eq!(crew.number("select count(*) from certificate where revision = 1 and completed_at is not null"), from);
        assert_eq!(crew.number("select count(*) from job_run where state <> 'complete'"), 0);
    }
    assert_eq!(crew.number("select count(*) from certificate where revision > 1"), 0);
    crew.settle();
}
