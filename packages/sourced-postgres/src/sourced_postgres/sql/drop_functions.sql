-- Drops the functions that are Sourced's by their comment, before they are made anew.
DO $$
DECLARE
    v_function text;
BEGIN
    FOR v_function IN
        SELECT p.oid::regprocedure::text
        FROM pg_catalog.pg_proc AS p
        WHERE p.pronamespace = '{schema}'::regnamespace
            AND obj_description(p.oid, 'pg_proc') = 'part of Sourced'
    LOOP
        EXECUTE 'DROP FUNCTION ' || v_function;
    END LOOP;
END
$$;
