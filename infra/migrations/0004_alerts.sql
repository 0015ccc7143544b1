-- What happened to alerts, and what people set: rules, silences, maintenance windows, the graph of roles.

-- One row a transition (openmanager.alerts.machine); `body` is the alert as it stood after it.
CREATE TABLE alert_transitions (
    id text PRIMARY KEY,
    alert text NOT NULL,
    server text NOT NULL,
    rule text NOT NULL,
    incident text NOT NULL,
    at timestamptz NOT NULL,
    what text NOT NULL,
    notice text NOT NULL,
    body jsonb NOT NULL
);
CREATE INDEX alert_transitions_at ON alert_transitions (at);
CREATE INDEX alert_transitions_server ON alert_transitions (server, at);

-- Redis holds a copy for the rounds.
CREATE TABLE documents (
    kind text NOT NULL,
    id text NOT NULL,
    body jsonb NOT NULL,
    changed timestamptz NOT NULL,
    changed_by text NOT NULL,
    PRIMARY KEY (kind, id)
);
