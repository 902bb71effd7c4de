-- From an application to its certificate, key, documents and mail.
-- All times are UTC. All identifiers are UUIDs derived from business keys (ids.rs), kept as text.

create table application (
    id             text      not null primary key,
    source         text      not null,
    upstream_id    text      not null,
    payload_sha256 text      not null,
    status         text      not null check (status in ('accepted', 'rejected')),
    lines          bigint    not null check (lines >= 0),
    issued_lines   bigint    not null check (issued_lines >= 0 and issued_lines <= lines),
    snapshot       text,
    violations     text,
    calculations   text      not null,
    traceparent    text,
    received_at    timestamp not null,
    decided_at     timestamp not null,
    -- The upstream's id leads: lookups use it alone.
    unique (upstream_id, source),
    check ((status = 'accepted') = (snapshot is not null)),
    check ((status = 'rejected') = (violations is not null)),
    check ((status = 'accepted') = (lines > 0))
);
-- For `recover`; empty when no work is unfinished.
create index application_unissued on application (received_at) where issued_lines < lines;

-- One row per works and fiscal year, as a lock: decisions about the same works wait for each other here.
create table works (
    id text not null primary key
);

-- Product lines of accepted applications, per works: the cross-application rules judge against the open rows.
create table engagement (
    application_id text not null references application (id),
    line           bigint not null check (line >= 0),
    works_id       text not null references works (id),
    works_number   text,
    fiscal_year    bigint not null,
    product        text not null check (product in ('advance_payment', 'interim_advance_payment', 'performance')),
    medium         text not null check (medium in ('electronic', 'paper')),
    amount         bigint not null check (amount > 0),
    base           text not null check (base in ('contract_price', 'this_year_base')),
    low_price      boolean   not null,
    engaged_at     timestamp not null,
    -- When the works became free for the product again.
    ended_at       timestamp,
    primary key (application_id, line)
);
-- No product twice for the same works, number and year, whatever the program does.
-- The open rows of works are found by it.
create unique index engagement_open on engagement (works_id, product, fiscal_year, coalesce(works_number, '')) where ended_at is null;

create table guarantee_sequence (
    branch text   not null,
    term   text   not null,
    last   bigint not null check (last >= 0),
    primary key (branch, term)
);

create table guarantee (
    id             text      not null primary key,
    application_id text      not null references application (id),
    line           bigint    not null check (line >= 0),
    product        text      not null check (product in ('advance_payment', 'interim_advance_payment', 'performance')),
    medium         text      not null check (medium in ('electronic', 'paper')),
    number         text      not null unique,
    branch         text      not null,
    term           text      not null,
    sequence       bigint    not null check (sequence > 0),
    obligee        text      not null,
    issued_at      timestamp not null,
    unique (application_id, line),
    unique (branch, term, sequence)
);

create table certificate (
    id              text      not null primary key,
    guarantee_id    text      not null references guarantee (id),
    revision        bigint    not null check (revision >= 0),
    content         text      not null,
    content_sha256  text      not null,
    previous_sha256 text,
    drawn_at        timestamp not null,
    arrived_at      timestamp,
    completed_at    timestamp,
    unique (guarantee_id, revision),
    check ((revision = 0) = (previous_sha256 is null))
);
create index certificate_uncompleted on certificate (drawn_at) where completed_at is null;

create table authentication_key (
    guarantee_id text      not null primary key references guarantee (id),
    data_key_id  text      not null,
    sealed       bytea     not null,
    lookup_hash  text      not null unique,
    minted_at    timestamp not null
);

create table document (
    certificate_id text      not null references certificate (id),
    kind           text      not null check (kind in ('certificate', 'notice')),
    location       text      not null,
    sha256         text      not null,
    size           bigint    not null check (size >= 0),
    identity       text      not null,
    stored_at      timestamp not null,
    primary key (certificate_id, kind)
);

create table mail (
    id             text      not null primary key,
    certificate_id text      not null references certificate (id),
    recipient      text      not null,
    message_id     text      not null unique,
    date           timestamp not null,
    subject        text      not null,
    text_body      text      not null,
    html_body      text      not null,
    state          text      not null check (state in ('pending', 'sending', 'accepted', 'rejected', 'unknown')),
    attempts       bigint    not null check (attempts >= 0),
    reply          text,
    claimed_at     timestamp,
    settled_at     timestamp,
    created_at     timestamp not null,
    unique (certificate_id, recipient),
    check ((state = 'pending') = (claimed_at is null)),
    check ((state in ('pending', 'sending')) = (settled_at is null))
);
create index mail_sending on mail (claimed_at) where state = 'sending';
create index mail_unknown on mail (settled_at) where state = 'unknown';

-- Work requeued by `recover`, which waits longer each time. Keyed by application (lines without a guarantee)
-- or certificate.
create table requeued (
    id      text      not null primary key,
    times   bigint    not null check (times >= 0),
    next_at timestamp not null
);
