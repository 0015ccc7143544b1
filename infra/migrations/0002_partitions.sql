-- Blocks and predictions by time, so that old ones go by dropping a table; rollups; and which days are to be closed.
-- Names and widths of partitions are those of openmanager.stores.partitions, which makes and drops all later ones.

SET LOCAL timezone = 'UTC';

ALTER TABLE blocks RENAME TO blocks_before;
ALTER INDEX blocks_pkey RENAME TO blocks_before_pkey;
ALTER TABLE predictions RENAME TO predictions_before;
ALTER INDEX predictions_pkey RENAME TO predictions_before_pkey;

-- One row a server and ten-minute segment (span 600 s) until its day is closed, then one a day (span 86400 s).
CREATE TABLE blocks (
    server text NOT NULL,
    segment timestamptz NOT NULL,
    span integer NOT NULL,
    rows integer NOT NULL,
    body bytea NOT NULL,
    PRIMARY KEY (server, segment, span)
) PARTITION BY RANGE (segment);

CREATE TABLE predictions (
    server text NOT NULL,
    minute timestamptz NOT NULL,
    verdict jsonb NOT NULL,
    PRIMARY KEY (server, minute)
) PARTITION BY RANGE (minute);

-- One row a server and day: all buckets of the day, described in openmanager.telemetry.rollup_codec.
CREATE TABLE rollups_1m (
    server text NOT NULL,
    day date NOT NULL,
    body bytea NOT NULL,
    PRIMARY KEY (server, day)
) PARTITION BY RANGE (day);
CREATE TABLE rollups_5m (LIKE rollups_1m INCLUDING ALL) PARTITION BY RANGE (day);
CREATE TABLE rollups_1h (LIKE rollups_1m INCLUDING ALL) PARTITION BY RANGE (day);
CREATE TABLE rollups_1d (LIKE rollups_1m INCLUDING ALL);

-- Bodies are compressed already.
ALTER TABLE blocks ALTER COLUMN body SET STORAGE EXTERNAL;
ALTER TABLE rollups_1m ALTER COLUMN body SET STORAGE EXTERNAL;
ALTER TABLE rollups_5m ALTER COLUMN body SET STORAGE EXTERNAL;
ALTER TABLE rollups_1h ALTER COLUMN body SET STORAGE EXTERNAL;
ALTER TABLE rollups_1d ALTER COLUMN body SET STORAGE EXTERNAL;

-- Days whose blocks or verdicts changed since their rollups were made. Who changes a day locks its row here first.
CREATE TABLE days_due (
    server text NOT NULL,
    day date NOT NULL,
    PRIMARY KEY (server, day)
);
CREATE INDEX days_due_day ON days_due (day, server);

-- Up to when a table's partitions have been dropped: rollups before that cannot be made anew.
CREATE TABLE partitions_dropped (
    name text PRIMARY KEY,
    until date NOT NULL
);

DO $$
DECLARE
    start timestamptz;
BEGIN
    FOR start IN SELECT DISTINCT date_trunc('day', segment) FROM blocks_before LOOP
        EXECUTE format(
            'CREATE TABLE %I PARTITION OF blocks FOR VALUES FROM (%L) TO (%L)',
            'blocks_' || to_char(start, 'YYYYMMDD'), start, start + interval '1 day'
        );
    END LOOP;
    FOR start IN SELECT DISTINCT date_trunc('week', minute) FROM predictions_before LOOP
        EXECUTE format(
            'CREATE TABLE %I PARTITION OF predictions FOR VALUES FROM (%L) TO (%L)',
            'predictions_' || to_char(start, 'YYYYMMDD'), start, start + interval '7 days'
        );
    END LOOP;
END
$$;

INSERT INTO blocks (server, segment, span, rows, body) SELECT server, segment, 600, rows, body FROM blocks_before;
INSERT INTO predictions (server, minute, verdict) SELECT server, minute, verdict FROM predictions_before;
INSERT INTO days_due (server, day)
    SELECT server, segment::date FROM blocks_before UNION SELECT server, minute::date FROM predictions_before;
DROP TABLE blocks_before;
DROP TABLE predictions_before;
