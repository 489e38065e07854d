-- check_unscheduled: refuses ids that are waiting in the schedule.
--
-- Always by the index: for many ids the planner would rather read a schedule of some thousand rows
-- from end to end, with every append.
--
-- p_ids: of messages that are about to enter the log.
-- Returns: nothing; raises SR004.
CREATE OR REPLACE FUNCTION {schema}.check_unscheduled(p_ids uuid[]) RETURNS void
LANGUAGE plpgsql VOLATILE
{by_index}
AS $$
BEGIN
    IF EXISTS (SELECT 1 FROM {schema}.schedule AS s WHERE s.message_id = ANY (p_ids)) THEN
        RAISE EXCEPTION USING ERRCODE = 'SR004', MESSAGE = 'an id is scheduled';
    END IF;
END
$$;
