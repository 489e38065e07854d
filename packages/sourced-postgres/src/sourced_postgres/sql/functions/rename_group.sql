-- rename_group: lets a group go on under a new name.
--
-- Nobody can commit a claim that names the old group: it must not be held until its worker ends.
--
-- p_group: the new name.
-- p_former: the former names that are groups; more than one, or the new name being one too, is
--     refused.
-- Returns: nothing; raises SR007.
CREATE OR REPLACE FUNCTION {schema}.rename_group(p_group text, p_former text[]) RETURNS void
LANGUAGE plpgsql VOLATILE
AS $$
DECLARE
    v_known text[];
    v_group integer;
BEGIN
    v_known := p_former || ARRAY(
        SELECT g.name::text FROM {schema}.groups AS g WHERE g.name = p_group
    );
    IF cardinality(v_known) > 1 THEN
        RAISE EXCEPTION USING
            ERRCODE = 'SR007',
            MESSAGE = 'several groups would become one',
            DETAIL = to_jsonb(v_known)::text;
    END IF;
    UPDATE {schema}.groups AS g
    SET name = p_group
    WHERE g.name = p_former[1]
    RETURNING g.id INTO v_group;
    UPDATE {schema}.deliveries AS d
    SET worker = NULL,
        claimed_at = NULL,
        attempts = greatest(d.attempts - 1, 0),
        ready_at = {schema}.now()
    WHERE d."group" = v_group AND d.worker IS NOT NULL;
END
$$;
