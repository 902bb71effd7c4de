-- The program before reads files of their own only: rows of segments stay, without their documents.
drop table document_store;
drop index document_segment;
alter table document drop column length;
alter table document drop column position;
alter table document rename column segment to location;
