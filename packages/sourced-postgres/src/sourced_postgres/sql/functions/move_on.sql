-- move_on: moves deliveries that stand at a message which is the group's no more, or deletes them.
--
-- One chunk of what follows an unsubscription, by streams in order of creation.
--
-- p_group: the group's key.
-- p_after: the last stream of the chunk before, 0 at first.
-- p_chunk: how many deliveries at most.
-- Returns: the last stream of this chunk, null when there is none; whether any delivery was moved.
CREATE OR REPLACE FUNCTION {schema}.move_on(
    p_group integer, p_after bigint, p_chunk integer, OUT upto bigint, OUT is_moved boolean
)
LANGUAGE plpgsql VOLATILE
{by_index}
AS $$
DECLARE
    v_keys bigint[];
    v_types text[];
BEGIN
    PERFORM {schema}.check_isolation();
    v_keys := ARRAY(
        SELECT d.stream
        FROM {schema}.deliveries AS d
        WHERE d."group" = p_group AND d.stream > p_after
        ORDER BY d.stream
        LIMIT p_chunk
    );
    upto := v_keys[cardinality(v_keys)];
    PERFORM {schema}.lock_streams_by_key(v_keys);
    PERFORM {schema}.lock_deliveries(array_fill(p_group, ARRAY[cardinality(v_keys)]), v_keys);
    v_types := ARRAY(SELECT b.type FROM {schema}.subscriptions AS b WHERE b."group" = p_group);
    WITH following AS MATERIALIZED (
        SELECT d.place, d.next_seq, (
            SELECT m.seq
            FROM {schema}.messages AS m
            WHERE m.stream = k.stream AND m.seq >= d.next_seq AND m.type = ANY (v_types)
            ORDER BY m.seq
            LIMIT 1
        ) AS seq
        FROM unnest(v_keys) AS k (stream)
        CROSS JOIN LATERAL (
            SELECT d.ctid AS place, d.next_seq
            FROM {schema}.deliveries AS d
            WHERE d."group" = p_group AND d.stream = k.stream
            LIMIT 1
        ) AS d
    ),
    gone AS (
        DELETE FROM {schema}.deliveries AS d
        USING following AS f
        WHERE d.ctid = f.place AND f.seq IS NULL
    ),
    moved AS (
        UPDATE {schema}.deliveries AS d
        SET next_seq = f.seq,
            worker = NULL,
            claimed_at = NULL,
            parked_at = NULL,
            attempts = 0,
            error = NULL,
            ready_at = {schema}.now()
        FROM following AS f
        WHERE d.ctid = f.place AND f.seq <> f.next_seq
        RETURNING d.stream
    )
    SELECT count(*) > 0 INTO is_moved FROM moved AS m;
END
$$;
