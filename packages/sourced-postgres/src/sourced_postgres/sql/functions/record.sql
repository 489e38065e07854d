-- record: writes down what an operator did.
--
-- p_actor, p_host: who, and where from. p_verb, p_target: what, and to what. p_reason: why.
-- p_before, p_after: what it was and what it became, in a few words.
-- Returns: nothing.
CREATE OR REPLACE FUNCTION {schema}.record(
    p_actor text,
    p_host text,
    p_verb text,
    p_target text,
    p_reason text,
    p_before text,
    p_after text
) RETURNS void
LANGUAGE plpgsql VOLATILE
AS $$
BEGIN
    INSERT INTO {schema}.operations (at, actor, host, verb, target, reason, before, after)
    VALUES (
        {schema}.now(), p_actor, p_host, p_verb, p_target, p_reason, p_before, p_after
    );
END
$$;
