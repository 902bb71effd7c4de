-- The table holds reversals and cancellations too, not certificates alone.
alter table certificate rename to revision;
alter index certificate_uncompleted rename to revision_uncompleted;
alter table revision rename constraint certificate_pkey to revision_pkey;
alter table revision rename constraint certificate_guarantee_id_revision_key to revision_guarantee_id_revision_key;
alter table revision rename constraint certificate_guarantee_id_fkey to revision_guarantee_id_fkey;
alter table revision rename constraint certificate_revision_check to revision_revision_check;
alter table revision rename constraint certificate_kind_check to revision_kind_check;
alter table revision rename constraint certificate_check to revision_check;

alter table document rename column certificate_id to revision_id;
alter table document rename constraint document_certificate_id_fkey to document_revision_id_fkey;

alter table mail rename column certificate_id to revision_id;
alter table mail rename constraint mail_certificate_id_fkey to mail_revision_id_fkey;
alter table mail rename constraint mail_certificate_id_recipient_key to mail_revision_id_recipient_key;
