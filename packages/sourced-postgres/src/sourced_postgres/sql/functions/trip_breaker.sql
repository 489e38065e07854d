-- trip_breaker: stops an active group if too many of its streams were parked of late.
--
-- The clock is read once, not for every parked stream, so that the index finds those of late.
--
-- p_group: its name.
-- p_more_than: how many are not too many.
-- p_within: of late, in seconds.
-- Returns: whether this call stopped it.
CREATE OR REPLACE FUNCTION {schema}.trip_breaker(
    p_group text, p_more_than bigint, p_within float8
) RETURNS boolean
LANGUAGE plpgsql VOLATILE
AS $$
DECLARE
    v_group integer;
    v_since timestamptz;
    v_parked bigint;
BEGIN
    PERFORM {schema}.check_isolation();
    SELECT g.id INTO v_group
    FROM {schema}.groups AS g
    WHERE g.name = p_group AND g.status = 'active'
    FOR NO KEY UPDATE;
    IF v_group IS NULL THEN
        RETURN false;
    END IF;
    v_since := {schema}.now() - make_interval(secs => p_within);
    SELECT count(*) INTO v_parked
    FROM {schema}.deliveries AS d
    WHERE d."group" = v_group
        AND d.parked_at IS NOT NULL
        AND d.parked_at >= v_since;
    IF v_parked <= p_more_than THEN
        RETURN false;
    END IF;
    PERFORM {schema}.stop(
        p_group,
        'breaker',
        '',
        format('breaker: %s streams parked within %s s', v_parked, p_within)
    );
    RETURN true;
END
$$;
