-- Changes of a guarantee, and the runs that apply them.
-- All times are UTC.

-- The valid revision of a guarantee, and its end.
alter table guarantee add column current_revision bigint not null default 0 check (current_revision >= 0);
alter table guarantee add column ended_on text;
create index guarantee_obligee on guarantee (obligee, id);
create index guarantee_issued on guarantee (issued_at);

-- What made a revision. Its place in the chain is `revision`.
-- The 変更 number that people see is in the content.
alter table certificate add column kind text not null default 'new'
    check (kind in ('new', 'amendment', 'correction', 'reversal', 'cancellation'));
-- The revision that a correction replaces or a reversal takes back.
alter table certificate add column target bigint;
-- The change that caused it; none for 新規.
alter table certificate add column change_id text;

-- How long each chain of revisions is and where it ends, sealed with a key that is not in the database.
create table chain_head (
    guarantee_id text   not null primary key references guarantee (id),
    revisions    bigint not null check (revisions > 0),
    head_sha256  text   not null,
    seal         text   not null
);

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
    version        bigint,
    -- Takes effect at once, not with the next nightly batch.
    urgent         boolean   not null,
    state          text      not null check (state in ('rejected', 'pending', 'effective', 'unchanged', 'refused')),
    -- The content after the change, or the facts of it, as JSON.
    snapshot       text,
    -- The expected effect as of acceptance, as JSON.
    foreseen       text,
    violations     text,
    calculations   text      not null,
    traceparent    text,
    received_at    timestamp not null,
    -- When it took effect, or was found to have none.
    settled_at     timestamp,
    -- The revision it made.
    revision       bigint,
    unique (upstream_id, source),
    check ((state in ('rejected', 'refused')) = (violations is not null)),
    check ((state in ('rejected', 'pending')) = (settled_at is null)),
    check (state = 'rejected' or (guarantee_id is not null and version is not null and snapshot is not null)),
    check ((state = 'effective') = (revision is not null))
);
create unique index change_version on change (guarantee_id, version) where state <> 'rejected';
create index change_pending on change (guarantee_id) where state = 'pending';

-- A job of the schedule and its first slot: earlier slots are not made up for.
create table job (
    name  text not null primary key,
    since text not null
);

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
    rate          bigint    not null check (rate > 0),
    -- Guarantees in it, counted when it began.
    total         bigint    not null check (total >= 0),
    -- Nothing that came later is in it.
    cutoff        timestamp not null,
    -- Selected so far, and the last of them.
    selected      bigint    not null check (selected >= 0),
    checkpoint    text      not null,
    exhausted     boolean   not null,
    driver        text,
    leased_until  timestamp,
    -- How often another process has taken it over.
    takeovers     bigint    not null,
    note          text,
    created_at    timestamp not null,
    finished_at   timestamp,
    reported_at   timestamp,
    check ((state in ('running', 'paused')) = (finished_at is null))
);
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
    first_revision bigint,
    last_revision  bigint,
    -- The dead letter, where it became one.
    failed_id      text      references failed_message (id),
    settled_at     timestamp,
    primary key (run_id, guarantee_id),
    check ((state = 'queued') = (settled_at is null))
);
create index run_item_queued on run_item (run_id) where state = 'queued';
create index run_item_failed on run_item (failed_id) where failed_id is not null;

-- Messages that were decided on where no delivery is held open; deleted once the broker has them.
create table outbox (
    run_id         text   not null references job_run (id),
    seq            bigint not null,
    stage          text   not null,
    message_id     text   not null,
    correlation_id text,
    traceparent    text,
    payload        text   not null,
    primary key (run_id, seq)
);

-- A run may draw a document again without a new revision; the latest one counts.
-- A cancellation has a document too.
alter table document add column run_id text not null default '';
alter table document drop constraint document_pkey;
alter table document add primary key (certificate_id, kind, run_id);
alter table document drop constraint document_kind_check;
alter table document add constraint document_kind_check check (kind in ('certificate', 'notice', 'cancellation'));

-- A replay queries its messages several times a second: progress, the next ones to send, the last settled.
-- The order of settling is counted here, because the clocks of the hosts differ.
alter table failed_message add column settled_seq bigint;
update failed_message set settled_seq = 0 where replay_id is not null and state in ('resolved', 'failed_again');
drop index failed_message_replay;
create index failed_message_replay on failed_message (replay_id, state, sent_at);
create index failed_message_unsent on failed_message (replay_id, first_failed_at, id) where state = 'replaying' and sent_at is null;
create index failed_message_settled on failed_message (replay_id, settled_seq);
