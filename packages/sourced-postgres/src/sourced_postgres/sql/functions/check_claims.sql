-- check_claims: refuses a batch some of whose claims are lost, before anything is done for it.
--
-- A glance without locks, so that no sync runs in vain; commit checks again under the locks.
--
-- p_group … p_next_seqs: see lost_claims.
-- Returns: nothing; raises SR002 with the streams, as commit does.
CREATE OR REPLACE FUNCTION {schema}.check_claims(
    p_group text, p_worker text, p_stream_ids text[], p_epochs bigint[], p_next_seqs bigint[]
) RETURNS void
LANGUAGE plpgsql VOLATILE
{by_index}
AS $$
DECLARE
    v_lost integer[];
BEGIN
    v_lost := {schema}.lost_claims(p_group, p_worker, p_stream_ids, p_epochs, p_next_seqs);
    IF cardinality(v_lost) > 0 THEN
        RAISE EXCEPTION USING
            ERRCODE = 'SR002',
            MESSAGE = 'claims are lost',
            DETAIL = jsonb_build_object('lost', to_jsonb(v_lost), 'failed', '[]'::jsonb)::text;
    END IF;
END
$$;
