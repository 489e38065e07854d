-- fill: announces the past of the next streams to a group that is filling.
--
-- One chunk of a registration's second step. The streams are locked, then the group's row, behind
-- which nobody waits for long; how far it is filled is looked at again under that lock, so that two
-- processes that fill one group share the work, and none goes on filling a group that is active,
-- stopped or gone.
--
-- p_group: its name.
-- p_chunk: how many streams at most.
-- Returns: in how many of them there was something to handle, and whether more is to be done.
CREATE OR REPLACE FUNCTION {schema}.fill(
    p_group text, p_chunk integer, OUT found_streams bigint, OUT is_unfinished boolean
)
LANGUAGE plpgsql VOLATILE
{by_index}
AS $$
DECLARE
    v_group {schema}.groups%ROWTYPE;
    v_seen {schema}.groups%ROWTYPE;
    v_types text[];
    v_keys bigint[];
BEGIN
    PERFORM {schema}.check_isolation();
    found_streams := 0;
    is_unfinished := false;
    SELECT g.* INTO v_seen FROM {schema}.groups AS g WHERE g.name = p_group;
    v_keys := ARRAY(
        SELECT s.id
        FROM {schema}.streams AS s
        WHERE s.id > v_seen.fill_after AND s.id <= v_seen.fill_upto
        ORDER BY s.id
        LIMIT p_chunk
    );
    PERFORM {schema}.lock_streams_by_key(v_keys);
    SELECT g.* INTO v_group FROM {schema}.groups AS g WHERE g.id = v_seen.id FOR NO KEY UPDATE;
    IF NOT FOUND OR v_group.status <> 'filling' OR v_group.fill_upto IS NULL THEN
        RETURN;
    END IF;
    IF (v_group.fill_after, v_group.fill_upto) IS DISTINCT FROM (v_seen.fill_after, v_seen.fill_upto)
    THEN
        is_unfinished := true;
        RETURN;
    END IF;
    v_types := ARRAY(
        SELECT b.type FROM {schema}.subscriptions AS b WHERE b."group" = v_group.id
    );
    WITH past AS (
        SELECT
            k.stream,
            (
                SELECT m.seq
                FROM {schema}.messages AS m
                WHERE m.stream = k.stream
                    AND m.type = ANY (v_types)
                    AND (v_group.fill_start IS NULL OR m.created_at >= v_group.fill_start)
                ORDER BY m.seq
                LIMIT 1
            ) AS first
        FROM unnest(v_keys) AS k (stream)
    ),
    announced AS (
        INSERT INTO {schema}.deliveries AS d ("group", stream, next_seq, ready_at)
        SELECT v_group.id, p.stream, p.first, {schema}.now()
        FROM past AS p
        WHERE p.first IS NOT NULL
        ORDER BY p.stream
        ON CONFLICT ("group", stream) DO UPDATE
        SET next_seq = excluded.next_seq, ready_at = excluded.ready_at
        WHERE d.next_seq > excluded.next_seq
        RETURNING d.stream
    )
    SELECT count(*) INTO found_streams FROM announced AS a;
    is_unfinished := cardinality(v_keys) = p_chunk
        AND v_keys[cardinality(v_keys)] < v_group.fill_upto;
    UPDATE {schema}.groups AS g
    SET fill_after = CASE WHEN is_unfinished THEN v_keys[cardinality(v_keys)] END,
        fill_upto = CASE WHEN is_unfinished THEN g.fill_upto END,
        status = CASE WHEN is_unfinished THEN 'filling' ELSE 'active' END,
        since = CASE WHEN is_unfinished THEN g.since ELSE {schema}.now() END
    WHERE g.id = v_group.id;
END
$$;
