-- lock_ready_named: locks what claim may take of some streams, oldest first; passes over the rest.
--
-- The streams are looked up one by one, however much else is ready. A suspect delivery is taken
-- alone, when it is the oldest; otherwise suspects are left out.
--
-- p_group: the group's key.
-- p_max: at most so many.
-- p_now: the time by which they must be ready.
-- p_stream_ids: the streams.
-- p_suspects: whether a suspect one may be taken.
-- Returns: where they are in the table; nobody moves them while they are locked.
CREATE OR REPLACE FUNCTION {schema}.lock_ready_named(
    p_group integer, p_max integer, p_now timestamptz, p_stream_ids text[], p_suspects boolean
) RETURNS tid[]
LANGUAGE plpgsql VOLATILE
AS $$
DECLARE
    v_keys bigint[];
    v_alone boolean;
BEGIN
    v_keys := {schema}.stream_keys(p_stream_ids);
    -- Said in other words than the partial indexes, so that the primary key is used.
    SELECT r.suspect INTO v_alone
    FROM unnest(v_keys) AS k (stream)
    CROSS JOIN LATERAL (
        SELECT d.suspect, d.ready_at
        FROM {schema}.deliveries AS d
        WHERE d."group" = p_group
            AND d.stream = k.stream
            AND num_nonnulls(d.worker, d.parked_at) = 0
            AND (p_suspects OR NOT d.suspect)
            AND d.ready_at <= p_now
        LIMIT 1
    ) AS r
    ORDER BY r.ready_at, k.stream
    LIMIT 1;
    RETURN ARRAY(
        SELECT r.place
        FROM unnest(v_keys) AS k (stream)
        CROSS JOIN LATERAL (
            SELECT d.ctid AS place, d.ready_at
            FROM {schema}.deliveries AS d
            WHERE d."group" = p_group
                AND d.stream = k.stream
                AND num_nonnulls(d.worker, d.parked_at) = 0
                AND d.suspect = v_alone
                AND d.ready_at <= p_now
            LIMIT 1
            FOR NO KEY UPDATE SKIP LOCKED
        ) AS r
        ORDER BY r.ready_at, k.stream
        LIMIT CASE WHEN v_alone THEN 1 ELSE p_max END
    );
END
$$;
