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
-- Returns: keys of streams.
CREATE OR REPLACE FUNCTION {schema}.lock_ready_named(
    p_group integer, p_max integer, p_now timestamptz, p_stream_ids text[], p_suspects boolean
) RETURNS bigint[]
LANGUAGE plpgsql VOLATILE
AS $$
DECLARE
    v_keys bigint[];
    v_alone boolean;
BEGIN
    v_keys := ARRAY(
        SELECT s.id FROM {schema}.streams AS s WHERE s.stream_id = ANY (p_stream_ids)
    );
    -- Said in other words than the partial indexes, so that the primary key is used.
    WITH wanted AS MATERIALIZED (
        SELECT p_group AS "group", k.stream FROM unnest(v_keys) AS k (stream)
    )
    SELECT d.suspect INTO v_alone
    FROM wanted AS k
    JOIN {schema}.deliveries AS d ON d."group" = k."group" AND d.stream = k.stream
    WHERE num_nonnulls(d.worker, d.parked_at) = 0
        AND (p_suspects OR NOT d.suspect)
        AND d.ready_at <= p_now
    ORDER BY d.ready_at, d.stream
    LIMIT 1;
    RETURN ARRAY(
        WITH wanted AS MATERIALIZED (
            SELECT p_group AS "group", k.stream FROM unnest(v_keys) AS k (stream)
        )
        SELECT d.stream
        FROM wanted AS k
        JOIN {schema}.deliveries AS d ON d."group" = k."group" AND d.stream = k.stream
        WHERE num_nonnulls(d.worker, d.parked_at) = 0
            AND d.suspect = v_alone
            AND d.ready_at <= p_now
        ORDER BY d.ready_at, d.stream
        LIMIT CASE WHEN v_alone THEN 1 ELSE p_max END
        FOR NO KEY UPDATE OF d SKIP LOCKED
    );
END
$$;
