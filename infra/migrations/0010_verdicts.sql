-- Verdicts packed, to a fifth of their rows: `verdict` keeps what is asked of many at once, `body` all that was said
-- (openmanager.stores.verdicts). Rows of before, without a body, go by their partitions within 30 days.

ALTER TABLE predictions ADD COLUMN body bytea;
-- Bodies are compressed already.
ALTER TABLE predictions ALTER COLUMN body SET STORAGE EXTERNAL;
