-- leave: frees a worker's claims, no attempt counted, and deletes its row.
--
-- p_id: the worker.
-- Returns: names of the groups whose deliveries were freed.
CREATE OR REPLACE FUNCTION {schema}.leave(p_id text) RETURNS text[]
LANGUAGE plpgsql VOLATILE
SET enable_seqscan = off
SET jit = off
AS $$
DECLARE
    v_groups text[];
BEGIN
    DELETE FROM {schema}.workers AS w WHERE w.id = p_id;
    PERFORM 1
    FROM {schema}.deliveries AS d
    WHERE d.worker = p_id
    ORDER BY d."group", d.stream
    FOR NO KEY UPDATE;
    WITH freed AS (
        UPDATE {schema}.deliveries AS d
        SET worker = NULL, claimed_at = NULL, attempts = greatest(d.attempts - 1, 0)
        WHERE d.worker = p_id
        RETURNING d."group"
    )
    SELECT array_agg(g.name) INTO v_groups
    FROM {schema}.groups AS g
    WHERE g.id IN (SELECT f."group" FROM freed AS f);
    RETURN v_groups;
END
$$;
