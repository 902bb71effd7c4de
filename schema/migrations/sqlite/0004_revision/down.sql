alter table mail rename column revision_id to certificate_id;
alter table document rename column revision_id to certificate_id;

drop index revision_uncompleted;
alter table revision rename to certificate;
create index certificate_uncompleted on certificate (drawn_at) where completed_at is null;
