-- hold_claims: locks the deliveries of claims, in order, and says where they are.
--
-- The caller has locked the streams. Each is looked for once: while somebody keeps a snapshot, every
-- look walks past all that was handled of the stream since. What a claim says is compared with the
-- row as it is under its lock; one that was made anew meanwhile has another epoch.
--
-- p_group, p_worker: the names that the claims were made under.
-- p_keys, p_epochs, p_next_seqs: the claims; the streams by their keys.
-- Returns: their places in the table, good until the commit; null for a claim that is lost.
CREATE OR REPLACE FUNCTION {schema}.hold_claims(
    p_group text, p_worker text, p_keys bigint[], p_epochs bigint[], p_next_seqs bigint[]
) RETURNS tid[]
LANGUAGE plpgsql VOLATILE
AS $$
DECLARE
    v_group integer;
BEGIN
    SELECT g.id INTO v_group FROM {schema}.groups AS g WHERE g.name = p_group;
    RETURN ARRAY(
        SELECT CASE
            WHEN d.worker = p_worker AND d.epoch = c.epoch AND d.next_seq = c.next_seq THEN d.place
        END
        FROM (
            SELECT k.key, k.epoch, k.next_seq, k.number
            FROM unnest(p_keys, p_epochs, p_next_seqs)
                WITH ORDINALITY AS k (key, epoch, next_seq, number)
            ORDER BY k.key
        ) AS c
        LEFT JOIN LATERAL (
            SELECT d.ctid AS place, d.worker, d.epoch, d.next_seq
            FROM {schema}.deliveries AS d
            WHERE d."group" = v_group AND d.stream = c.key
            LIMIT 1
            FOR NO KEY UPDATE
        ) AS d ON true
        ORDER BY c.number
    );
END
$$;
