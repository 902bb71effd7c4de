-- A document is a frame of a segment. One that was stored before is a file of its own, from 0 to its end.
alter table document rename column location to segment;
alter table document add column position integer not null default 0 check (position >= 0);
alter table document add column length integer not null default 0 check (length >= 0);
update document set length = size;
create index document_segment on document (segment, position);

-- The document stores that this database uses, one of each kind: another one in its place is not used.
create table document_store (
    kind     text not null primary key check (kind in ('folder', 'bucket')),
    identity text not null
);
