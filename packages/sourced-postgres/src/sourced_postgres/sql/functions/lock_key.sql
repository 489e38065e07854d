-- lock_key: the key of one of the schema's advisory locks.
--
-- The schema's identity fills the upper half of the key, so that two stores in one database never
-- meet; in pg_locks it is `classid`, and `objid` is the lower half.
-- p_lock: 1 appends and resets (shared) against registrations (exclusive), 2 the housekeeper who promotes.
-- Returns: the key.
CREATE OR REPLACE FUNCTION {schema}.lock_key(p_lock integer) RETURNS bigint
LANGUAGE sql STABLE PARALLEL SAFE
AS $$ SELECT ('{schema}'::regnamespace::oid::bigint << 32) | (1397768960 + p_lock) $$;
