-- Nothing read it, and a replay into an empty database gave another: no row says when it was applied.
ALTER TABLE conversations DROP COLUMN created_at;
