-- Dead letters and what operators do about them; who works, and what is paused.
-- All moments are UTC, as text that sorts by time.

-- An attempt to work dead letters off once more: a frozen selection of them.
create table replay (
    id           text    not null primary key,
    state        text    not null check (state in ('running', 'paused', 'complete', 'stopped', 'aborted')),
    -- What was asked for, as JSON.
    selection    text    not null,
    -- Messages in the selection; frozen with it.
    total        integer not null check (total > 0),
    -- Nothing that failed later is in the selection.
    cutoff       text    not null,
    -- Messages that must succeed before any other is sent.
    canary       integer not null check (canary >= 0),
    -- Messages a second, at most.
    rate         integer not null check (rate > 0),
    reason       text    not null,
    actor        text    not null,
    created_at   text    not null,
    -- Which process drives it, and until when nobody else may.
    driver       text,
    leased_until text,
    -- Why it was paused, stopped or aborted.
    note         text,
    -- The outcome, once it is known.
    resolved     integer,
    failed_again integer,
    finished_at  text,
    check ((state in ('running', 'paused')) = (finished_at is null))
) strict;
create index replay_created on replay (created_at);

create table failed_message (
    id                 text    not null primary key,
    -- The stage that gave up on it, or the routing key that no queue wanted.
    stage              text    not null,
    message_id         text    not null,
    message_type       text,
    correlation_id     text,
    traceparent        text,
    payload            blob    not null,
    -- Foreign senders choose message ids, and may use one twice.
    payload_sha256     text    not null,
    -- What the letter carried, as JSON: name and value of every header that is text or a number.
    headers            text    not null,
    origin             text    not null check (origin in ('handler', 'delivery_limit', 'rejected', 'unroutable', 'undecodable')),
    code               text    not null,
    text               text    not null,
    -- What failed for the same reason has the same one: stage, code and text without what differs from one message to the next.
    fingerprint        text    not null,
    attempts           integer not null check (attempts >= 0),
    -- How many letters have come.
    letters            integer not null check (letters > 0),
    first_failed_at    text    not null,
    last_failed_at     text    not null,
    state              text    not null check (state in ('failed', 'replaying', 'resolved', 'failed_again', 'discarded')),
    changed_at         text    not null,
    -- The replay it is, or was last, part of; the cause it had when it was selected; when it was sent.
    replay_id          text    references replay (id),
    replay_fingerprint text,
    sent_at            text,
    -- The edited message that took its place.
    superseded_by      text,
    unique (stage, message_id, payload_sha256),
    check ((replay_id is null) = (replay_fingerprint is null)),
    check (state <> 'replaying' or replay_id is not null)
) strict;
create index failed_message_group on failed_message (fingerprint);
create index failed_message_time on failed_message (last_failed_at, id);
create index failed_message_replay on failed_message (replay_id, state, changed_at);
create index failed_message_correlation on failed_message (correlation_id);

-- Every failed attempt that a letter told of.
create table failed_attempt (
    failed_id text    not null references failed_message (id),
    at        text    not null,
    code      text    not null,
    -- Only the last attempt of each letter has one.
    text      text,
    primary key (failed_id, at, code)
) strict;

-- What operators know of a cause.
create table failure_note (
    fingerprint text    not null primary key,
    note        text    not null,
    actor       text    not null,
    noted_at    text    not null
) strict;

-- Who changed what, when and why. Rows are never changed.
create table audit (
    id           text    not null primary key,
    -- What was done in one go.
    operation_id text    not null,
    at           text    not null,
    actor        text    not null,
    action       text    not null,
    -- Kind and identifier of what was changed, such as `failed_message`.
    kind         text    not null,
    subject      text    not null,
    reason       text    not null,
    before       text,
    after        text
) strict;
create index audit_time on audit (at, id);
create index audit_subject on audit (subject, at);
create index audit_operation on audit (operation_id);

-- What `hosho mail` lists.
create index mail_open on mail (created_at) where state in ('pending', 'rejected');

-- Whether a stage may work; a stage without a row may.
create table stage_control (
    stage      text    not null primary key,
    paused     integer not null check (paused in (0, 1)),
    reason     text    not null,
    actor      text    not null,
    changed_at text    not null
) strict;

-- Worker processes: a sign of life every few seconds. A process that stops cleanly takes its rows away.
create table worker (
    id         text    not null primary key,
    host       text    not null,
    pid        integer not null,
    version    text    not null,
    started_at text    not null,
    seen_at    text    not null
) strict;

create table worker_stage (
    worker_id    text    not null references worker (id) on delete cascade,
    stage        text    not null,
    lane         text    not null check (lane in ('live', 'bulk')),
    consumers    integer not null,
    -- Deliveries received and not yet acknowledged.
    held         integer not null,
    -- Messages worked off since the process began, and in the last minute.
    done         integer not null,
    per_minute   integer not null,
    -- When the oldest batch in hand began.
    busy_since   text,
    -- When the message taken last was published, where it says so.
    taken_from   text,
    -- Why the stage waits, since when, and when it looks again.
    fault_code   text,
    fault_text   text,
    open_since   text,
    next_probe   text,
    -- Messages sent to wait, as JSON: rung, due second (since 1970), count.
    waiting      text    not null,
    primary key (worker_id, stage, lane)
) strict;
