-- Names that groups had before they were renamed: no group is made under one of them.

CREATE TABLE {schema}.former_names (
    name text COLLATE "C" NOT NULL,
    "group" integer NOT NULL,
    CONSTRAINT former_names_pkey PRIMARY KEY (name)
);
