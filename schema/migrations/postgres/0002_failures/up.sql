-- Dead letters and replays, the audit, worker processes and paused stages.
-- All times are UTC.

-- A frozen selection of dead letters that are sent again.
create table replay (
    id           text      not null primary key,
    state        text      not null check (state in ('running', 'paused', 'complete', 'stopped', 'aborted')),
    -- The selection, as JSON.
    selection    text      not null,
    -- Messages in the selection; frozen with it.
    total        bigint    not null check (total > 0),
    -- Nothing that failed later is in the selection.
    cutoff       timestamp not null,
    -- Messages that must succeed before any other is sent.
    canary       bigint    not null check (canary >= 0),
    -- Messages a second, at most.
    rate         bigint    not null check (rate > 0),
    reason       text      not null,
    actor        text      not null,
    created_at   timestamp not null,
    -- The process with the lease, and the end of the lease.
    driver       text,
    leased_until timestamp,
    -- Reason of a pause, stop or abort.
    note         text,
    -- The outcome, once it is known.
    resolved     bigint,
    failed_again bigint,
    finished_at  timestamp,
    check ((state in ('running', 'paused')) = (finished_at is null))
);
create index replay_created on replay (created_at);

create table failed_message (
    id                 text      not null primary key,
    -- The stage that gave up, or the routing key without a queue.
    stage              text      not null,
    message_id         text      not null,
    message_type       text,
    correlation_id     text,
    traceparent        text,
    payload            bytea     not null,
    -- Foreign senders choose message ids, and may use one twice.
    payload_sha256     text      not null,
    -- JSON: name and value of every header that is text or a number.
    headers            text      not null,
    origin             text      not null check (origin in ('handler', 'delivery_limit', 'rejected', 'unroutable', 'undecodable')),
    code               text      not null,
    text               text      not null,
    -- Equal for the same cause: stage, code and text without the parts that vary between messages.
    fingerprint        text      not null,
    attempts           bigint    not null check (attempts >= 0),
    -- Dead letters received.
    letters            bigint    not null check (letters > 0),
    first_failed_at    timestamp not null,
    last_failed_at     timestamp not null,
    state              text      not null check (state in ('failed', 'replaying', 'resolved', 'failed_again', 'discarded')),
    changed_at         timestamp not null,
    -- The replay it is, or was last, part of; the cause it had when it was selected; when it was sent.
    replay_id          text      references replay (id),
    replay_fingerprint text,
    sent_at            timestamp,
    -- The edited message that took its place.
    superseded_by      text,
    unique (stage, message_id, payload_sha256),
    check ((replay_id is null) = (replay_fingerprint is null)),
    check (state <> 'replaying' or replay_id is not null)
);
create index failed_message_group on failed_message (fingerprint);
create index failed_message_time on failed_message (last_failed_at, id);
create index failed_message_replay on failed_message (replay_id, state, changed_at);
create index failed_message_correlation on failed_message (correlation_id);

-- Every failed attempt that a dead letter lists.
create table failed_attempt (
    failed_id text      not null references failed_message (id),
    at        timestamp not null,
    code      text      not null,
    -- Only the last attempt of each dead letter has one.
    text      text,
    primary key (failed_id, at, code)
);

-- Notes of operators on a cause.
create table failure_note (
    fingerprint text      not null primary key,
    note        text      not null,
    actor       text      not null,
    noted_at    timestamp not null
);

-- Audit entries. Rows are never updated.
create table audit (
    id           text      not null primary key,
    -- Shared by all entries of one operation.
    operation_id text      not null,
    at           timestamp not null,
    actor        text      not null,
    action       text      not null,
    -- Kind and identifier of what was changed, such as `failed_message`.
    kind         text      not null,
    subject      text      not null,
    reason       text      not null,
    before       text,
    after        text
);
create index audit_time on audit (at, id);
create index audit_subject on audit (subject, at);
create index audit_operation on audit (operation_id);

-- What `hosho mail` lists.
create index mail_open on mail (created_at) where state in ('pending', 'rejected');

-- Paused stages; a stage without a row runs.
create table stage_control (
    stage      text      not null primary key,
    paused     boolean   not null,
    reason     text      not null,
    actor      text      not null,
    changed_at timestamp not null
);

-- Worker processes: a heartbeat every few seconds. A process that stops cleanly deletes its rows.
create table worker (
    id         text      not null primary key,
    host       text      not null,
    pid        bigint    not null,
    version    text      not null,
    started_at timestamp not null,
    seen_at    timestamp not null
);

create table worker_stage (
    worker_id    text      not null references worker (id) on delete cascade,
    stage        text      not null,
    lane         text      not null check (lane in ('live', 'bulk')),
    consumers    bigint    not null,
    -- Deliveries received and not yet acknowledged.
    held         bigint    not null,
    -- Messages done since the process began, and in the last minute.
    done         bigint    not null,
    per_minute   bigint    not null,
    -- Start of the oldest batch in flight.
    busy_since   timestamp,
    -- When the latest message was published, where it has a timestamp.
    taken_from   timestamp,
    -- Why the stage waits, since when, and its next probe.
    fault_code   text,
    fault_text   text,
    open_since   timestamp,
    next_probe   timestamp,
    -- Messages in retry queues, as JSON: delay, due second (since 1970), count.
    waiting      text      not null,
    primary key (worker_id, stage, lane)
);
