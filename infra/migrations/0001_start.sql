-- The cold half: who was seen, what they sent, what was said of them, and what could not be read.

CREATE TABLE servers (
    id text PRIMARY KEY,
    attributes jsonb NOT NULL,
    first_seen timestamptz NOT NULL,
    last_seen timestamptz NOT NULL
);

-- One row a server and ten-minute segment; the body is described in openmanager.telemetry.frames.
CREATE TABLE blocks (
    server text NOT NULL,
    segment timestamptz NOT NULL,
    rows integer NOT NULL,
    body bytea NOT NULL,
    PRIMARY KEY (server, segment)
);

CREATE TABLE predictions (
    server text NOT NULL,
    minute timestamptz NOT NULL,
    verdict jsonb NOT NULL,
    PRIMARY KEY (server, minute)
);

-- Frames that did not decode: kept for a person to look at, never retried.
CREATE TABLE damaged_frames (
    key text NOT NULL,
    field text NOT NULL,
    body text NOT NULL,
    reason text NOT NULL,
    found_at timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (key, field)
);
