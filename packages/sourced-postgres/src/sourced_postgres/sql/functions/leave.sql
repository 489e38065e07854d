-- leave: frees a worker's claims, no attempt counted, and deletes its row.
--
-- p_id: the worker.
-- Returns: names of the groups whose deliveries were freed.
CREATE OR REPLACE FUNCTION {schema}.leave(p_id text) RETURNS text[]
LANGUAGE plpgsql VOLATILE
{by_index}
AS $$
DECLARE
    v_owners integer[];
    v_keys bigint[];
    v_groups text[];
BEGIN
    PERFORM {schema}.check_isolation();
    DELETE FROM {schema}.workers AS w WHERE w.id = p_id;
    WITH held AS MATERIALIZED (
        SELECT d."group", d.stream FROM {schema}.deliveries AS d WHERE d.worker = p_id
    )
    SELECT
        array_agg(h."group" ORDER BY h."group", h.stream),
        array_agg(h.stream ORDER BY h."group", h.stream)
    INTO v_owners, v_keys
    FROM held AS h;
    PERFORM {schema}.lock_deliveries(v_owners, v_keys);
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
