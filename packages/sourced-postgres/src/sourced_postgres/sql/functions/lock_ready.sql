-- lock_ready: locks what claim may take, oldest first; passes over what others have locked.
--
-- A suspect delivery is taken alone, when it is the oldest; otherwise suspects are left out. Both
-- are walked in the order of the index: nothing is ever sorted here.
--
-- p_group: the group's key.
-- p_max: at most so many.
-- p_now: the time by which they must be ready.
-- p_since: since when they may have been.
-- p_suspects: whether a suspect one may be taken.
-- Returns: where they are in the table; nobody moves them while they are locked.
CREATE OR REPLACE FUNCTION {schema}.lock_ready(
    p_group integer, p_max integer, p_now timestamptz, p_since timestamptz, p_suspects boolean
) RETURNS tid[]
LANGUAGE plpgsql VOLATILE
{by_index}
SET enable_sort = off
AS $$
DECLARE
    v_suspect_at timestamptz;
    v_places tid[];
BEGIN
    SELECT d.ready_at INTO v_suspect_at
    FROM {schema}.deliveries AS d
    WHERE p_suspects
        AND d."group" = p_group
        AND d.suspect
        AND d.worker IS NULL
        AND d.parked_at IS NULL
        AND d.ready_at <= p_now
    ORDER BY d.ready_at
    LIMIT 1;
    IF v_suspect_at IS NOT NULL AND NOT EXISTS (
        SELECT 1
        FROM {schema}.deliveries AS d
        WHERE d."group" = p_group
            AND NOT d.suspect
            AND d.worker IS NULL
            AND d.parked_at IS NULL
            AND d.ready_at < v_suspect_at
        ORDER BY d.ready_at
        LIMIT 1
    ) THEN
        v_places := ARRAY(
            SELECT d.ctid
            FROM {schema}.deliveries AS d
            WHERE d."group" = p_group
                AND d.suspect
                AND d.worker IS NULL
                AND d.parked_at IS NULL
                AND d.ready_at <= p_now
            ORDER BY d.ready_at, d.stream
            LIMIT 1
            FOR NO KEY UPDATE SKIP LOCKED
        );
        IF cardinality(v_places) > 0 THEN
            RETURN v_places;
        END IF;
    END IF;
    RETURN ARRAY(
        SELECT d.ctid
        FROM {schema}.deliveries AS d
        WHERE d."group" = p_group
            AND NOT d.suspect
            AND d.worker IS NULL
            AND d.parked_at IS NULL
            AND d.ready_at <= p_now
            AND d.ready_at >= p_since
        ORDER BY d.ready_at, d.stream
        LIMIT p_max
        FOR NO KEY UPDATE SKIP LOCKED
    );
END
$$;
