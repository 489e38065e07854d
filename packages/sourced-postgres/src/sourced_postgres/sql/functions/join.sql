-- join: writes a worker's row, without which nothing can be claimed.
--
-- p_id: random, drawn at each start of a process.
-- p_name, p_host, p_pid, p_code_version: for people.
-- p_handles: {{group: [type, …], …}}, what the process knows.
-- Returns: nothing.
CREATE OR REPLACE FUNCTION {schema}.join(
    p_id text, p_name text, p_host text, p_pid bigint, p_code_version text, p_handles jsonb
) RETURNS void
LANGUAGE plpgsql VOLATILE
AS $$
DECLARE
    v_now timestamptz := {schema}.now();
BEGIN
    PERFORM {schema}.check_isolation();
    INSERT INTO {schema}.workers (
        id, name, host, pid, code_version, started_at, seen_at, handles
    )
    VALUES (p_id, p_name, p_host, p_pid, p_code_version, v_now, v_now, p_handles)
    ON CONFLICT (id) DO UPDATE
    SET name = excluded.name,
        host = excluded.host,
        pid = excluded.pid,
        code_version = excluded.code_version,
        started_at = excluded.started_at,
        seen_at = excluded.seen_at,
        handles = excluded.handles;
END
$$;
