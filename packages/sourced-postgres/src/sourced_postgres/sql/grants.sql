-- The least that workers need: they may append to the log, and change nothing in it.
GRANT USAGE ON SCHEMA {schema} TO {role};

GRANT EXECUTE ON ALL FUNCTIONS IN SCHEMA {schema} TO {role};

GRANT SELECT ON ALL TABLES IN SCHEMA {schema} TO {role};

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

GRANT USAGE ON ALL SEQUENCES IN SCHEMA {schema} TO {role};
