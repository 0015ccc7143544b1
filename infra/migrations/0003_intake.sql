-- Pushes taken while Redis was away, one row a server and push, until they can be put where they belong.

CREATE TABLE intake (
    server text NOT NULL,
    digest text NOT NULL,
    arrived timestamptz NOT NULL,
    attributes jsonb NOT NULL,
    body bytea NOT NULL,
    PRIMARY KEY (server, digest)
);
CREATE INDEX intake_arrived ON intake (arrived);
