-- Suspects are found in the index that claims walk, apart from the others.

DROP INDEX {schema}.deliveries_suspect_idx;
DROP INDEX {schema}.deliveries_claimable_idx;
CREATE INDEX deliveries_claimable_idx ON {schema}.deliveries ("group", suspect, ready_at, stream)
    WHERE worker IS NULL AND parked_at IS NULL;
