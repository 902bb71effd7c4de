drop table requeued;
drop table mail;
drop table document;
drop table authentication_key;
drop table certificate;
drop table guarantee;
drop table guarantee_sequence;
drop table application;
