-- Changes of a guarantee, and the runs that apply them.
-- All times are UTC.

-- The valid revision of a guarantee, and its end.
alter table guarantee add column current_revision integer not null default 0 check (current_revision >= 0);
alter table guarantee add column ended_on text;
create index guarantee_obligee on guarantee (obligee, id);
create index guarantee_issued on guarantee (issued_at);

-- What made a revision. Its place in the chain is `revision`.
-- The 変更 number that people see is in the content.
alter table certificate add column kind text not null default 'new'
    check (kind in ('new', 'amendment', 'correction', 'reversal', 'cancellation'));
-- The revision that a correction replaces or a reversal takes back.
alter table certificate add column target integer;
-- The change that caused it; none for 新規.
alter table certificate add column change_id text;

-- How long each chain of revisions is and where it ends, sealed with a key that is not in the database.
create table chain_head (
    guarantee_id text   not null primary key references guarantee (id),
    revisions    integer not null check (revisions > 0),
    head_sha256  text   not null,
    seal         text   not null
) strict;

-- Amendments, corrections, reversals and cancellations, as they came, and what became of them.
create table change (
    id             text      not null primary key,
    source         text      not null,
    upstream_id    text      not null,
    payload_sha256 text      not null,
    kind           text      not null check (kind in ('amendment', 'correction', 'amendment_reversal', 'cancellation')),
    -- 保証契約番号 as it was given, in its normal form where it could be read.
    number         text,
    guarantee_id   text      references guarantee (id),
    -- Orders the changes of one guarantee: the sender counts up.
    version        integer,
    -- Takes effect at once, not with the next nightly batch.
    urgent         integer   not null check (urgent in (0, 1)),
    state          text      not null check (state in ('rejected', 'pending', 'effective', 'unchanged', 'refused')),
    -- The content after the change, or the facts of it, as JSON.
    snapshot       text,
    -- The expected effect as of acceptance, as JSON.
    foreseen       text,
    violations     text,
    calculations   text      not null,
    traceparent    text,
    received_at    text not null,
    -- When it took effect, or was found to have none.
    settled_at     text,
    -- The revision it made.
    revision       integer,
    unique (upstream_id, source),
    check ((state in ('rejected', 'refused')) = (violations is not null)),
    check ((state in ('rejected', 'pending')) = (settled_at is null)),
    check (state = 'rejected' or (guarantee_id is not null and version is not null and snapshot is not null)),
    check ((state = 'effective') = (revision is not null))
) strict;
create unique index change_version on change (guarantee_id, version) where state <> 'rejected';
create index change_pending on change (guarantee_id) where state = 'pending';

-- A job of the schedule and its first slot: earlier slots are not made up for.
create table job (
    name  text not null primary key,
    since text not null
) strict;

create table job_run (
    id            text      not null primary key,
    job           text      not null,
    -- The slot on the clocks of the schedule's zone, such as 2026-12-01T01:30:00; none for a run by hand.
    scheduled_for text,
    selection     text      not null,
    reason        text      not null,
    actor         text      not null,
    state         text      not null check (state in ('running', 'paused', 'complete', 'complete_with_failures', 'cancelled', 'skipped')),
    -- Messages a second, at most.
    rate          integer    not null check (rate > 0),
    -- Guarantees in it, counted when it began.
    total         integer    not null check (total >= 0),
    -- Nothing that came later is in it.
    cutoff        text not null,
    -- Selected so far, and the last of them.
    selected      integer    not null check (selected >= 0),
    checkpoint    text      not null,
    exhausted     integer   not null check (exhausted in (0, 1)),
    driver        text,
    leased_until  text,
    -- How often another process has taken it over.
    takeovers     integer    not null,
    note          text,
    created_at    text not null,
    finished_at   text,
    reported_at   text,
    check ((state in ('running', 'paused')) = (finished_at is null))
) strict;
create unique index job_run_slot on job_run (job, scheduled_for) where scheduled_for is not null;
-- At most one active run per job.
create unique index job_run_active on job_run (job) where state in ('running', 'paused');
create index job_run_created on job_run (created_at);

create table run_item (
    run_id         text      not null references job_run (id),
    guarantee_id   text      not null references guarantee (id),
    state          text      not null check (state in ('queued', 'done', 'failed')),
    -- What the reissue stage made of it.
    outcome        text      not null check (outcome in ('awaited', 'reissued', 'redrawn', 'unchanged')),
    first_revision integer,
    last_revision  integer,
    -- The dead letter, where it became one.
    failed_id      text      references failed_message (id),
    settled_at     text,
    primary key (run_id, guarantee_id),
    check ((state = 'queued') = (settled_at is null))
) strict;
create index run_item_queued on run_item (run_id) where state = 'queued';
create index run_item_failed on run_item (failed_id) where failed_id is not null;

-- Messages that were decided on where no delivery is held open; deleted once the broker has them.
create table outbox (
    run_id         text   not null references job_run (id),
    seq            integer not null,
    stage          text   not null,
    message_id     text   not null,
    correlation_id text,
    traceparent    text,
    payload        text   not null,
    primary key (run_id, seq)
) strict;

-- A run may draw a document again without a new revision; the latest one counts.
-- A cancellation has a document too.
alter table document rename to document_before;
create table document (
    certificate_id text      not null references certificate (id),
    kind           text      not null check (kind in ('certificate', 'notice', 'cancellation')),
    location       text      not null,
    sha256         text      not null,
    size           integer    not null check (size >= 0),
    identity       text      not null,
    stored_at      text not null,
    run_id         text      not null default '',
    primary key (certificate_id, kind, run_id)
) strict;
insert into document (certificate_id, kind, location, sha256, size, identity, stored_at)
    select certificate_id, kind, location, sha256, size, identity, stored_at from document_before;
drop table document_before;

-- A replay queries its messages several times a second: progress, the next ones to send, the last settled.
-- The order of settling is counted here, because the clocks of the hosts differ.
alter table failed_message add column settled_seq integer;
update failed_message set settled_seq = 0 where replay_id is not null and state in ('resolved', 'failed_again');
drop index failed_message_replay;
create index failed_message_replay on failed_message (replay_id, state, sent_at);
create index failed_message_unsent on failed_message (replay_id, first_failed_at, id) where state = 'replaying' and sent_at is null;
create index failed_message_settled on failed_message (replay_id, settled_seq);
