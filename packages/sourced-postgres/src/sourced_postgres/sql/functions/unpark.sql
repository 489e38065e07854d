-- unpark: makes parked and waiting deliveries ready now, attempts 0.
--
-- p_group: the group's name.
-- p_stream_ids: the streams, or null for all of the group.
-- p_actor, p_host, p_reason: who does it, and why.
-- Returns: how many; raises SR005 if there is no such group.
CREATE OR REPLACE FUNCTION {schema}.unpark(
    p_group text, p_stream_ids text[], p_actor text, p_host text, p_reason text
) RETURNS bigint
LANGUAGE plpgsql VOLATILE
{by_index}
AS $$
DECLARE
    v {schema}.groups%ROWTYPE;
    v_now timestamptz := {schema}.now();
    v_keys bigint[];
    v_woken bigint;
BEGIN
    v := {schema}.keep_group(p_group);
    IF p_stream_ids IS NULL THEN
        WITH found AS MATERIALIZED (
            SELECT d.stream
            FROM {schema}.deliveries AS d
            WHERE d."group" = v.id AND d.parked_at IS NOT NULL
            UNION ALL
            SELECT d.stream
            FROM {schema}.deliveries AS d
            WHERE d."group" = v.id
                AND d.suspect IN (false, true)
                AND d.worker IS NULL
                AND d.parked_at IS NULL
                AND d.ready_at > v_now
        )
        SELECT coalesce(array_agg(f.stream ORDER BY f.stream), ARRAY[]::bigint[])
        INTO v_keys
        FROM found AS f;
    ELSE
        v_keys := {schema}.stream_keys(p_stream_ids);
    END IF;
    PERFORM {schema}.lock_deliveries(array_fill(v.id, ARRAY[cardinality(v_keys)]), v_keys);
    UPDATE {schema}.deliveries AS d
    SET parked_at = NULL, attempts = 0, error = NULL, ready_at = v_now
    WHERE d.ctid = ANY (
        ARRAY(
            SELECT r.place
            FROM unnest(v_keys) AS k (stream)
            CROSS JOIN LATERAL (
                SELECT d.ctid AS place, d.worker, d.parked_at, d.ready_at
                FROM {schema}.deliveries AS d
                WHERE d."group" = v.id AND d.stream = k.stream
                LIMIT 1
            ) AS r
            WHERE r.worker IS NULL AND (r.parked_at IS NOT NULL OR r.ready_at > v_now)
        )
    );
    GET DIAGNOSTICS v_woken = ROW_COUNT;
    PERFORM {schema}.record(
        p_actor, p_host, 'retry', concat_ws(' ', p_group, array_to_string(p_stream_ids, ', ')),
        p_reason, format('%s parked or waiting', v_woken), 'ready'
    );
    RETURN v_woken;
END
$$;
