-- Notes which functions are there that Sourced is about to make, before it makes them.
--
-- A setting of this transaction, and not the number of it: a client may make every statement a
-- transaction inside this one, as psql does with ON_ERROR_ROLLBACK, and each has a number of its own.
SELECT set_config(
    'sourced.functions',
    coalesce(
        (
            SELECT string_agg(format('%s-%s', p.oid, p.xmin), ' ')
            FROM pg_catalog.pg_proc AS p
            WHERE p.pronamespace = '{schema}'::regnamespace
        ),
        ''
    ),
    true
);
