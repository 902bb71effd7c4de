-- The table holds reversals and cancellations too, not certificates alone.
alter table certificate rename to revision;
drop index certificate_uncompleted;
create index revision_uncompleted on revision (drawn_at) where completed_at is null;

alter table document rename column certificate_id to revision_id;
alter table mail rename column certificate_id to revision_id;
