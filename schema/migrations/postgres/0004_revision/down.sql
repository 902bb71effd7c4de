alter table mail rename constraint mail_revision_id_recipient_key to mail_certificate_id_recipient_key;
alter table mail rename constraint mail_revision_id_fkey to mail_certificate_id_fkey;
alter table mail rename column revision_id to certificate_id;

alter table document rename constraint document_revision_id_fkey to document_certificate_id_fkey;
alter table document rename column revision_id to certificate_id;

alter table revision rename constraint revision_check to certificate_check;
alter table revision rename constraint revision_kind_check to certificate_kind_check;
alter table revision rename constraint revision_revision_check to certificate_revision_check;
alter table revision rename constraint revision_guarantee_id_fkey to certificate_guarantee_id_fkey;
alter table revision rename constraint revision_guarantee_id_revision_key to certificate_guarantee_id_revision_key;
alter table revision rename constraint revision_pkey to certificate_pkey;
alter index revision_uncompleted rename to certificate_uncompleted;
alter table revision rename to certificate;
