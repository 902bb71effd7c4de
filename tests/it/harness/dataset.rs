//! Many guarantees, copied by SQL from one that the program issued.

use serde_json::{Value, json};

use super::postgres::Session;

/// Guarantees of one branch and term: the largest sequence number.
const OF_TERM: usize = 99_999;

/// Copies made by one statement.
const PORTION: usize = 10_000;

/// Copies the guarantee of an application with all its rows except its key.
pub fn copy(sql: &mut Session, application: &str, count: usize) {
    let (guarantee, certificate) = ("copy_guarantee", "copy_revision");
    sql.query("create extension if not exists \"uuid-ossp\"");
    sql.query(&format!(
        "create temporary table copies as
         select i, uuid_generate_v4()::text as application,
                uuid_generate_v5('7d0b5a86-3c1e-5f42-9b57-e1f420c683da', 'x')::text as {guarantee}, ''::text as {certificate},
                '31' || (900 + i / {OF_TERM})::text || '-' || lpad((i % {OF_TERM} + 1)::text, 5, '0') || 'M' as number
         from generate_series(0, {count} - 1) as i"
    ));
    sql.query(
        "update copies set copy_guarantee =
             uuid_generate_v5('7d0b5a86-3c1e-5f42-9b57-e1f420c683da', 'guarantee:' || application || ':0')::text",
    );
    sql.query(
        "update copies set copy_revision =
             uuid_generate_v5('7d0b5a86-3c1e-5f42-9b57-e1f420c683da', 'certificate:' || copy_guarantee || ':0')::text",
    );
    sql.query("create index on copies (i)");
    let statements = [
        "insert into application
         select c.application, a.source, a.upstream_id || '-' || c.i, a.payload_sha256, a.status, a.lines, a.issued_lines, a.snapshot,
                a.violations, a.calculations, a.traceparent, a.received_at, a.decided_at
         from application a, copies c where a.id = $1",
        "insert into guarantee
         select c.copy_guarantee, c.application, 0, g.product, g.medium, c.number, '31', substr(c.number, 3, 3),
                (substr(c.number, 7, 5))::bigint, g.obligee, g.issued_at, 0, null
         from guarantee g, copies c where g.application_id = $1",
        "insert into revision
         select c.copy_revision, c.copy_guarantee, 0, replace(x.content, g.number, c.number),
                encode(sha256(convert_to(replace(x.content, g.number, c.number), 'UTF8')), 'hex'), null,
                x.drawn_at, x.arrived_at, x.completed_at, 'new', null, null
         from revision x join guarantee g on g.id = x.guarantee_id, copies c where g.application_id = $1",
        "insert into document
         select c.copy_revision, d.kind, d.segment, d.sha256, d.size, d.identity, d.stored_at, '',
                d.position, d.length
         from document d join revision x on x.id = d.revision_id join guarantee g on g.id = x.guarantee_id, copies c
         where g.application_id = $1",
    ];
    // In portions: a statement has a time limit.
    for from in (0..count).step_by(PORTION) {
        let portion = format!("'{application}' and c.i >= {from} and c.i < {from} + {PORTION}");
        for statement in statements {
            sql.query(&statement.replace("$1", &portion));
        }
    }
    // Otherwise an autovacuum would run during the measurement.
    for table in ["application", "guarantee", "revision", "document"] {
        sql.query(&format!("vacuum (analyze) {table}"));
    }
}

/// Stores a pending amendment of each of the next `count` copies.
pub fn amend(sql: &mut Session, source: &str, application: &str, from: usize, count: usize) {
    let snapshot = sql.query(&format!("select snapshot from application where id = '{application}'"));
    let mut after: Value = serde_json::from_str(snapshot[0][0].as_deref().unwrap()).unwrap();
    let representative = after["principal"]["company"]["representative"].as_str().unwrap();
    after["principal"]["company"]["representative"] = format!("{representative}　改").into();
    let end = from + count;
    let change = json!({ "kind": "amendment", "after": after }).to_string().replace('\'', "''");
    for from in (from..from + count).step_by(PORTION) {
        let until = (from + PORTION).min(end);
        sql.query(&format!(
            "insert into change (id, source, upstream_id, payload_sha256, kind, number, guarantee_id, version, urgent, state, snapshot,
                             foreseen, calculations, received_at)
         select uuid_generate_v4()::text, '{source}', 'c-' || number, '', 'amendment', number, copy_guarantee, 1, false, 'pending',
                '{change}', '{{\"effect\":\"reissue\",\"revision\":1}}', '[]', now() at time zone 'utc'
         from copies where i >= {from} and i < {until}"
        ));
    }
}
