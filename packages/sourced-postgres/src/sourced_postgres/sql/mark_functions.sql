-- Marks the functions that this transaction has made, all of them Sourced's.
DO $$
DECLARE
    v_function text;
BEGIN
    FOR v_function IN
        SELECT p.oid::regprocedure::text
        FROM pg_catalog.pg_proc AS p
        WHERE p.pronamespace = '{schema}'::regnamespace AND p.xmin = pg_current_xact_id()::xid
    LOOP
        EXECUTE format('COMMENT ON FUNCTION %s IS %L', v_function, 'part of Sourced');
    END LOOP;
END
$$;
