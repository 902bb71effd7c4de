-- From an application to its certificate, key, documents and mail.
-- All moments are UTC, as text that sorts by time.
-- All identifiers are UUIDs derived from business keys (ids.rs), kept as text.

create table application (
    id             text    not null primary key,
    source         text    not null,
    upstream_id    text    not null,
    payload_sha256 text    not null,
    status         text    not null check (status in ('accepted', 'rejected')),
    lines          integer not null check (lines >= 0),
    issued_lines   integer not null check (issued_lines >= 0 and issued_lines <= lines),
    snapshot       text,
    violations     text,
    calculations   text    not null,
    traceparent    text,
    received_at    text    not null,
    decided_at     text    not null,
    -- The upstream's id leads: lookups use it alone.
    unique (upstream_id, source),
    check ((status = 'accepted') = (snapshot is not null)),
    check ((status = 'rejected') = (violations is not null)),
    check ((status = 'accepted') = (lines > 0))
) strict;
-- For `recover`; empty when no work is unfinished.
create index application_unissued on application (received_at) where issued_lines < lines;

-- One row per works and fiscal year, as a lock: decisions about the same works wait for each other here.
create table works (
    id text not null primary key
) strict;

-- Product lines of accepted applications, per works: the cross-application rules judge against the open rows.
create table engagement (
    application_id text not null references application (id),
    line           integer not null check (line >= 0),
    works_id       text not null references works (id),
    works_number   text,
    fiscal_year    integer not null,
    product        text not null check (product in ('advance_payment', 'interim_advance_payment', 'performance')),
    medium         text not null check (medium in ('electronic', 'paper')),
    amount         integer not null check (amount > 0),
    base           text not null check (base in ('contract_price', 'this_year_base')),
    low_price      integer not null check (low_price in (0, 1)),
    engaged_at     text not null,
    -- When the works became free for the product again.
    ended_at       text,
    primary key (application_id, line)
) strict;
-- No product twice for the same works, number and year, whatever the program does.
-- The open rows of works are found by it.
create unique index engagement_open on engagement (works_id, product, fiscal_year, coalesce(works_number, '')) where ended_at is null;

create table guarantee_sequence (
    branch text    not null,
    term   text    not null,
    last   integer not null check (last >= 0),
    primary key (branch, term)
) strict;

create table guarantee (
    id             text    not null primary key,
    application_id text    not null references application (id),
    line           integer not null check (line >= 0),
    product        text    not null check (product in ('advance_payment', 'interim_advance_payment', 'performance')),
    medium         text    not null check (medium in ('electronic', 'paper')),
    number         text    not null unique,
    branch         text    not null,
    term           text    not null,
    sequence       integer not null check (sequence > 0),
    obligee        text    not null,
    issued_at      text    not null,
    unique (application_id, line),
    unique (branch, term, sequence)
) strict;

create table certificate (
    id              text    not null primary key,
    guarantee_id    text    not null references guarantee (id),
    revision        integer not null check (revision >= 0),
    content         text    not null,
    content_sha256  text    not null,
    previous_sha256 text,
    drawn_at        text    not null,
    arrived_at      text,
    completed_at    text,
    unique (guarantee_id, revision),
    check ((revision = 0) = (previous_sha256 is null))
) strict;
create index certificate_uncompleted on certificate (drawn_at) where completed_at is null;

create table authentication_key (
    guarantee_id text    not null primary key references guarantee (id),
    data_key_id  text    not null,
    sealed       blob    not null,
    lookup_hash  text    not null unique,
    minted_at    text    not null
) strict;

create table document (
    certificate_id text    not null references certificate (id),
    kind           text    not null check (kind in ('certificate', 'notice')),
    location       text    not null,
    sha256         text    not null,
    size           integer not null check (size >= 0),
    identity       text    not null,
    stored_at      text    not null,
    primary key (certificate_id, kind)
) strict;

create table mail (
    id             text    not null primary key,
    certificate_id text    not null references certificate (id),
    recipient      text    not null,
    message_id     text    not null unique,
    date           text    not null,
    subject        text    not null,
    text_body      text    not null,
    html_body      text    not null,
    state          text    not null check (state in ('pending', 'sending', 'accepted', 'rejected', 'unknown')),
    attempts       integer not null check (attempts >= 0),
    reply          text,
    claimed_at     text,
    settled_at     text,
    created_at     text    not null,
    unique (certificate_id, recipient),
    check ((state = 'pending') = (claimed_at is null)),
    check ((state in ('pending', 'sending')) = (settled_at is null))
) strict;
create index mail_sending on mail (claimed_at) where state = 'sending';
create index mail_unknown on mail (settled_at) where state = 'unknown';

-- Work requeued by `recover`, which waits longer each time. Keyed by application (lines without a guarantee)
-- or certificate.
create table requeued (
    id      text    not null primary key,
    times   integer not null check (times >= 0),
    next_at text    not null
) strict;
