-- Grants the least that workers need: they may append to the log, and change nothing in it.
--
-- To the role of the setting `sourced.role`, if there is one, and to every role that could work
-- before: tables that a migration made were granted to nobody.
DO $$
DECLARE
    v_role text;
    v_function text;
BEGIN
    FOR v_role IN
        SELECT r.rolname
        FROM pg_catalog.pg_class AS c
        CROSS JOIN LATERAL pg_catalog.aclexplode(c.relacl) AS a
        JOIN pg_catalog.pg_roles AS r ON r.oid = a.grantee
        WHERE c.oid = '{schema}.streams'::regclass
            AND a.privilege_type = 'UPDATE'
            AND a.grantee <> c.relowner
        UNION
        SELECT w.name
        FROM (SELECT current_setting('sourced.role', true) AS name) AS w
        WHERE w.name <> ''
    LOOP
        EXECUTE format('GRANT USAGE ON SCHEMA {schema} TO %I', v_role);
        EXECUTE format(
            'GRANT SELECT ON
                {schema}.streams,
                {schema}.messages,
                {schema}.groups,
                {schema}.former_names,
                {schema}.subscriptions,
                {schema}.deliveries,
                {schema}.schedule,
                {schema}.snapshots,
                {schema}.workers,
                {schema}.operations,
                {schema}.migrations
            TO %I',
            v_role
        );
        EXECUTE format(
            'GRANT INSERT ON {schema}.messages, {schema}.operations TO %I', v_role
        );
        EXECUTE format('GRANT INSERT, UPDATE ON {schema}.streams TO %I', v_role);
        EXECUTE format(
            'GRANT INSERT, UPDATE, DELETE ON
                {schema}.groups,
                {schema}.former_names,
                {schema}.subscriptions,
                {schema}.deliveries,
                {schema}.schedule,
                {schema}.snapshots,
                {schema}.workers
            TO %I',
            v_role
        );
        EXECUTE format('GRANT USAGE ON SEQUENCE {schema}.epochs TO %I', v_role);
        -- How far positions have been drawn is read, never set.
        EXECUTE format('GRANT SELECT ON SEQUENCE {schema}.messages_position_seq TO %I', v_role);
        -- Everybody may call a function unless that right was taken away; what it does needs the
        -- above.
        FOR v_function IN
            SELECT p.oid::regprocedure::text
            FROM pg_catalog.pg_proc AS p
            WHERE p.pronamespace = '{schema}'::regnamespace
                AND obj_description(p.oid, 'pg_proc') = 'part of Sourced'
        LOOP
            EXECUTE format('GRANT EXECUTE ON FUNCTION %s TO %I', v_function, v_role);
        END LOOP;
    END LOOP;
END
$$;
