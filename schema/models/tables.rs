//! The columns, as diesel sees them.

diesel::table! {
    application (id) {
        id -> Text,
        source -> Text,
        upstream_id -> Text,
        payload_sha256 -> Text,
        status -> Text,
        lines -> BigInt,
        issued_lines -> BigInt,
        snapshot -> Nullable<Text>,
        violations -> Nullable<Text>,
        calculations -> Text,
        traceparent -> Nullable<Text>,
        received_at -> Timestamp,
        decided_at -> Timestamp,
    }
}

diesel::table! {
    works (id) {
        id -> Text,
    }
}

diesel::table! {
    engagement (application_id, line) {
        application_id -> Text,
        line -> BigInt,
        works_id -> Text,
        works_number -> Nullable<Text>,
        fiscal_year -> BigInt,
        product -> Text,
        medium -> Text,
        amount -> BigInt,
        base -> Text,
        low_price -> Bool,
        engaged_at -> Timestamp,
        ended_at -> Nullable<Timestamp>,
    }
}

diesel::table! {
    guarantee_sequence (branch, term) {
        branch -> Text,
        term -> Text,
        last -> BigInt,
    }
}

diesel::table! {
    guarantee (id) {
        id -> Text,
        application_id -> Text,
        line -> BigInt,
        product -> Text,
        medium -> Text,
        number -> Text,
        branch -> Text,
        term -> Text,
        sequence -> BigInt,
        obligee -> Text,
        issued_at -> Timestamp,
        current_revision -> BigInt,
        ended_on -> Nullable<Text>,
    }
}

diesel::table! {
    revision (id) {
        id -> Text,
        guarantee_id -> Text,
        // Diesel allows no column with the name of its table.
        #[sql_name = "revision"]
        place -> BigInt,
        content -> Text,
        content_sha256 -> Text,
        previous_sha256 -> Nullable<Text>,
        drawn_at -> Timestamp,
        arrived_at -> Nullable<Timestamp>,
        completed_at -> Nullable<Timestamp>,
        kind -> Text,
        target -> Nullable<BigInt>,
        change_id -> Nullable<Text>,
    }
}

diesel::table! {
    authentication_key (guarantee_id) {
        guarantee_id -> Text,
        data_key_id -> Text,
        sealed -> Binary,
        lookup_hash -> Text,
        minted_at -> Timestamp,
    }
}

diesel::table! {
    document (revision_id, kind, run_id) {
        revision_id -> Text,
        kind -> Text,
        segment -> Text,
        sha256 -> Text,
        size -> BigInt,
        identity -> Text,
        stored_at -> Timestamp,
        run_id -> Text,
        position -> BigInt,
        length -> BigInt,
    }
}

diesel::table! {
    mail (id) {
        id -> Text,
        revision_id -> Text,
        recipient -> Text,
        message_id -> Text,
        date -> Timestamp,
        subject -> Text,
        text_body -> Text,
        html_body -> Text,
        state -> Text,
        attempts -> BigInt,
        reply -> Nullable<Text>,
        claimed_at -> Nullable<Timestamp>,
        settled_at -> Nullable<Timestamp>,
        created_at -> Timestamp,
    }
}

diesel::table! {
    requeued (id) {
        id -> Text,
        times -> BigInt,
        next_at -> Timestamp,
    }
}

diesel::table! {
    replay (id) {
        id -> Text,
        state -> Text,
        selection -> Text,
        total -> BigInt,
        cutoff -> Timestamp,
        canary -> BigInt,
        rate -> BigInt,
        reason -> Text,
        actor -> Text,
        created_at -> Timestamp,
        driver -> Nullable<Text>,
        leased_until -> Nullable<Timestamp>,
        note -> Nullable<Text>,
        resolved -> Nullable<BigInt>,
        failed_again -> Nullable<BigInt>,
        finished_at -> Nullable<Timestamp>,
    }
}

diesel::table! {
    failed_message (id) {
        id -> Text,
        stage -> Text,
        message_id -> Text,
        message_type -> Nullable<Text>,
        correlation_id -> Nullable<Text>,
        traceparent -> Nullable<Text>,
        payload -> Binary,
        payload_sha256 -> Text,
        headers -> Text,
        origin -> Text,
        code -> Text,
        text -> Text,
        fingerprint -> Text,
        attempts -> BigInt,
        letters -> BigInt,
        first_failed_at -> Timestamp,
        last_failed_at -> Timestamp,
        state -> Text,
        changed_at -> Timestamp,
        replay_id -> Nullable<Text>,
        replay_fingerprint -> Nullable<Text>,
        sent_at -> Nullable<Timestamp>,
        superseded_by -> Nullable<Text>,
        settled_seq -> Nullable<BigInt>,
    }
}

diesel::table! {
    failed_attempt (failed_id, at, code) {
        failed_id -> Text,
        at -> Timestamp,
        code -> Text,
        text -> Nullable<Text>,
    }
}

diesel::table! {
    failure_note (fingerprint) {
        fingerprint -> Text,
        note -> Text,
        actor -> Text,
        noted_at -> Timestamp,
    }
}

diesel::table! {
    audit (id) {
        id -> Text,
        operation_id -> Text,
        at -> Timestamp,
        actor -> Text,
        action -> Text,
        kind -> Text,
        subject -> Text,
        reason -> Text,
        before -> Nullable<Text>,
        after -> Nullable<Text>,
    }
}

diesel::table! {
    stage_control (stage) {
        stage -> Text,
        paused -> Bool,
        reason -> Text,
        actor -> Text,
        changed_at -> Timestamp,
    }
}

diesel::table! {
    worker (id) {
        id -> Text,
        host -> Text,
        pid -> BigInt,
        version -> Text,
        started_at -> Timestamp,
        seen_at -> Timestamp,
    }
}

diesel::table! {
    worker_stage (worker_id, stage, lane) {
        worker_id -> Text,
        stage -> Text,
        lane -> Text,
        consumers -> BigInt,
        held -> BigInt,
        done -> BigInt,
        per_minute -> BigInt,
        busy_since -> Nullable<Timestamp>,
        taken_from -> Nullable<Timestamp>,
        fault_code -> Nullable<Text>,
        fault_text -> Nullable<Text>,
        open_since -> Nullable<Timestamp>,
        next_probe -> Nullable<Timestamp>,
        waiting -> Text,
    }
}

diesel::table! {
    document_store (kind) {
        kind -> Text,
        identity -> Text,
    }
}

diesel::table! {
    chain_head (guarantee_id) {
        guarantee_id -> Text,
        revisions -> BigInt,
        head_sha256 -> Text,
        seal -> Text,
    }
}

diesel::table! {
    change (id) {
        id -> Text,
        source -> Text,
        upstream_id -> Text,
        payload_sha256 -> Text,
        kind -> Text,
        number -> Nullable<Text>,
        guarantee_id -> Nullable<Text>,
        version -> Nullable<BigInt>,
        urgent -> Bool,
        state -> Text,
        snapshot -> Nullable<Text>,
        foreseen -> Nullable<Text>,
        violations -> Nullable<Text>,
        calculations -> Text,
        traceparent -> Nullable<Text>,
        received_at -> Timestamp,
        settled_at -> Nullable<Timestamp>,
        revision -> Nullable<BigInt>,
    }
}

diesel::table! {
    job (name) {
        name -> Text,
        since -> Text,
    }
}

diesel::table! {
    job_run (id) {
        id -> Text,
        job -> Text,
        scheduled_for -> Nullable<Text>,
        selection -> Text,
        reason -> Text,
        actor -> Text,
        state -> Text,
        rate -> BigInt,
        total -> BigInt,
        cutoff -> Timestamp,
        selected -> BigInt,
        checkpoint -> Text,
        exhausted -> Bool,
        driver -> Nullable<Text>,
        leased_until -> Nullable<Timestamp>,
        takeovers -> BigInt,
        note -> Nullable<Text>,
        created_at -> Timestamp,
        finished_at -> Nullable<Timestamp>,
        reported_at -> Nullable<Timestamp>,
    }
}

diesel::table! {
    run_item (run_id, guarantee_id) {
        run_id -> Text,
        guarantee_id -> Text,
        state -> Text,
        outcome -> Text,
        first_revision -> Nullable<BigInt>,
        last_revision -> Nullable<BigInt>,
        failed_id -> Nullable<Text>,
        settled_at -> Nullable<Timestamp>,
    }
}

diesel::table! {
    outbox (run_id, seq) {
        run_id -> Text,
        seq -> BigInt,
        stage -> Text,
        message_id -> Text,
        correlation_id -> Nullable<Text>,
        traceparent -> Nullable<Text>,
        payload -> Text,
    }
}

diesel::joinable!(engagement -> works (works_id));
diesel::joinable!(engagement -> application (application_id));
diesel::joinable!(guarantee -> application (application_id));
diesel::joinable!(revision -> guarantee (guarantee_id));
diesel::joinable!(authentication_key -> guarantee (guarantee_id));
diesel::joinable!(document -> revision (revision_id));
diesel::joinable!(mail -> revision (revision_id));
diesel::joinable!(worker_stage -> worker (worker_id));
diesel::allow_tables_to_appear_in_same_query!(
    application,
    works,
    engagement,
    guarantee,
    revision,
    authentication_key,
    document,
    mail,
    requeued,
    change,
    chain_head,
    job_run,
    run_item,
    failed_message
);
diesel::joinable!(change -> guarantee (guarantee_id));
diesel::joinable!(run_item -> guarantee (guarantee_id));
diesel::joinable!(run_item -> job_run (run_id));
diesel::joinable!(run_item -> failed_message (failed_id));
diesel::allow_tables_to_appear_in_same_query!(worker, worker_stage);
