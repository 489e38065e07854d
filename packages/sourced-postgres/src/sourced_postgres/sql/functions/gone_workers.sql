-- gone_workers: who holds claims and has no row.
--
-- Goes from one holder to the next in the index of claims, however many each has.
--
-- Returns: their ids.
CREATE OR REPLACE FUNCTION {schema}.gone_workers() RETURNS text[]
LANGUAGE plpgsql VOLATILE
{by_index}
SET enable_sort = off
AS $$
BEGIN
    RETURN ARRAY(
        WITH RECURSIVE holders AS (
            (
                SELECT d.worker AS id
                FROM {schema}.deliveries AS d
                WHERE d.worker IS NOT NULL
                ORDER BY d.worker
                LIMIT 1
            )
            UNION ALL
            SELECT (
                SELECT d.worker
                FROM {schema}.deliveries AS d
                WHERE d.worker > h.id
                ORDER BY d.worker
                LIMIT 1
            )
            FROM holders AS h
            WHERE h.id IS NOT NULL
        )
        SELECT h.id
        FROM holders AS h
        WHERE h.id IS NOT NULL
            AND NOT EXISTS (SELECT 1 FROM {schema}.workers AS w WHERE w.id = h.id)
    );
END
$$;
