-- save_snapshots: keeps states, each in place of the one before it.
--
-- p_snapshots: [{{"group", "stream_id", "seq", "version", "state"}}, …]
-- Returns: nothing.
CREATE OR REPLACE FUNCTION {schema}.save_snapshots(p_snapshots jsonb) RETURNS void
LANGUAGE plpgsql VOLATILE
AS $$
BEGIN
    INSERT INTO {schema}.snapshots AS p ("group", stream, seq, version, state)
    SELECT
        g.id,
        (SELECT s.id FROM {schema}.streams AS s WHERE s.stream_id = e.value ->> 'stream_id'),
        (e.value ->> 'seq')::bigint,
        (e.value ->> 'version')::integer,
        e.value ->> 'state'
    FROM jsonb_array_elements(p_snapshots) AS e
    JOIN {schema}.groups AS g ON g.name = e.value ->> 'group'
    ORDER BY 1, 2
    ON CONFLICT ("group", stream) DO UPDATE
    SET seq = excluded.seq, version = excluded.version, state = excluded.state;
END
$$;
