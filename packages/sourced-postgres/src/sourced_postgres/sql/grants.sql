-- The least that workers need: they may append to the log, and change nothing in it.
GRANT USAGE ON SCHEMA {schema} TO {role};

GRANT SELECT ON
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
TO {role};

GRANT INSERT ON {schema}.messages, {schema}.operations TO {role};

GRANT INSERT, UPDATE ON {schema}.streams TO {role};

GRANT INSERT, UPDATE, DELETE ON
    {schema}.groups,
    {schema}.former_names,
    {schema}.subscriptions,
    {schema}.deliveries,
    {schema}.schedule,
    {schema}.snapshots,
    {schema}.workers
TO {role};

GRANT USAGE ON SEQUENCE {schema}.epochs TO {role};

-- How far positions have been drawn is read, never set.
GRANT SELECT ON SEQUENCE {schema}.messages_position_seq TO {role};
