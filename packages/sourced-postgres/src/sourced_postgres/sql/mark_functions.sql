-- Marks the functions that were made since note_functions, those of the names given, as Sourced's.
DO $$
DECLARE
    v_function text;
BEGIN
    FOR v_function IN
        SELECT p.oid::regprocedure::text
        FROM pg_catalog.pg_proc AS p
        WHERE p.pronamespace = '{schema}'::regnamespace
            AND p.proname = ANY ({names})
            AND format('%s-%s', p.oid, p.xmin)
                <> ALL (string_to_array(current_setting('sourced.functions'), ' '))
    LOOP
        EXECUTE format('COMMENT ON FUNCTION %s IS %L', v_function, 'part of Sourced');
    END LOOP;
END
$$;
