-- now, by a clock that tests turn: a table's only row in place of the server's time.
--
-- Installed instead of functions/now.sql by a store that was opened with such a clock; no other
-- function knows the difference.
CREATE TABLE IF NOT EXISTS {schema}.clock (
    is_only boolean NOT NULL DEFAULT true,
    shows timestamptz NOT NULL,
    CONSTRAINT clock_pkey PRIMARY KEY (is_only),
    CONSTRAINT clock_is_only_check CHECK (is_only)
);

CREATE OR REPLACE FUNCTION {schema}.now() RETURNS timestamptz
LANGUAGE plpgsql VOLATILE
AS $$ BEGIN RETURN (SELECT c.shows FROM {schema}.clock AS c); END $$;
