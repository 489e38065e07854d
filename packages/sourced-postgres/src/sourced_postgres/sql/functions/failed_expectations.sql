-- failed_expectations: which expectations do not hold under the locks that the caller has.
--
-- They are checked in order. What earlier owners of the same batch append counts as if it were
-- there, unless those owners failed themselves. A head that is not beyond the seq named needs no
-- look into the log.
--
-- p_expect: [{{"owner": place in the batch, "stream_id", "seq", "types": null or a list}}, …]; null
--     types expect exactly this head, others that none of these types came since.
-- p_names, p_keys, p_heads: the streams, as lock_streams returned them.
-- p_owners, p_stream_ids, p_types: the messages of the batch, each with its owner.
-- p_failed: owners that have failed already.
-- Returns: [{{"owner", "stream_id", "expected", "actual"}}, …], the first failure of each owner.
CREATE OR REPLACE FUNCTION {schema}.failed_expectations(
    p_expect jsonb,
    p_names text[],
    p_keys bigint[],
    p_heads bigint[],
    p_owners integer[],
    p_stream_ids text[],
    p_types text[],
    p_failed integer[]
) RETURNS jsonb
LANGUAGE plpgsql VOLATILE
{by_index}
AS $$
DECLARE
    v_failures jsonb := '[]';
    v_failed integer[] := p_failed;
    v_shared boolean;
    v_added text[] := ARRAY[]::text[];
    v_head bigint;
    v_holds boolean;
    v record;
BEGIN
    v_shared := EXISTS (
        SELECT 1
        FROM unnest(p_owners, p_stream_ids) AS m (owner, stream_id)
        JOIN jsonb_array_elements(p_expect) AS e ON e.value ->> 'stream_id' = m.stream_id
        WHERE m.owner < (e.value ->> 'owner')::integer
    );
    FOR v IN
        SELECT
            (e.value ->> 'owner')::integer AS owner,
            s.name,
            s.key,
            s.head,
            (e.value ->> 'seq')::bigint AS seq,
            nullif(e.value -> 'types', 'null') AS types
        FROM jsonb_array_elements(p_expect) WITH ORDINALITY AS e (value, place)
        JOIN unnest(p_names, p_keys, p_heads) AS s (name, key, head)
            ON s.name = e.value ->> 'stream_id'
        ORDER BY e.place
    LOOP
        CONTINUE WHEN v.owner = ANY (v_failed);
        IF v_shared THEN
            v_added := ARRAY(
                SELECT m.type
                FROM unnest(p_owners, p_stream_ids, p_types)
                    WITH ORDINALITY AS m (owner, stream_id, type, place)
                WHERE m.owner < v.owner AND m.stream_id = v.name AND m.owner <> ALL (v_failed)
                ORDER BY m.place
            );
        END IF;
        v_head := v.head + cardinality(v_added);
        IF v.types IS NULL OR v_head <= v.seq THEN
            v_holds := v_head = v.seq OR (v.types IS NOT NULL AND v_head < v.seq);
        ELSE
            v_holds := NOT EXISTS (
                SELECT 1
                FROM unnest(v_added) WITH ORDINALITY AS a (type, place)
                WHERE v.head + a.place > v.seq AND v.types ? a.type
            ) AND NOT EXISTS (
                SELECT 1
                FROM {schema}.messages AS m
                WHERE m.stream = v.key AND m.seq > v.seq AND m.seq <= v.head AND v.types ? m.type
            );
        END IF;
        IF NOT v_holds THEN
            v_failed := v_failed || v.owner;
            v_failures := v_failures || jsonb_build_object(
                'owner', v.owner, 'stream_id', v.name, 'expected', v.seq, 'actual', v_head
            );
        END IF;
    END LOOP;
    RETURN v_failures;
END
$$;
