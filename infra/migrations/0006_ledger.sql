-- What predictions were worth: settled warnings and incidents, and sums that scores are made of.

-- What is not settled yet of each server (openmanager.ledger.track.Track).
CREATE TABLE ledger_tracks (
    server text PRIMARY KEY,
    body jsonb NOT NULL
);
CREATE TABLE ledger_episodes (
    server text NOT NULL,
    model text NOT NULL,
    began timestamptz NOT NULL,
    ended timestamptz NOT NULL,
    outcome text NOT NULL,
    lead_s integer,
    incident timestamptz,
    PRIMARY KEY (server, model, began)
);
CREATE INDEX ledger_episodes_ended ON ledger_episodes (ended);
CREATE TABLE ledger_incidents (
    server text NOT NULL,
    began timestamptz NOT NULL,
    ended timestamptz NOT NULL,
    kind text NOT NULL,
    announced jsonb NOT NULL,
    PRIMARY KEY (server, began)
);
CREATE INDEX ledger_incidents_began ON ledger_incidents (began);
-- `what` is a model of probabilities, or metric and method of a forecast; sums are openmanager.ledger.scores'.
CREATE TABLE ledger_sums (
    server text NOT NULL,
    week date NOT NULL,
    what text NOT NULL,
    body jsonb NOT NULL,
    PRIMARY KEY (server, week, what)
);
CREATE INDEX ledger_sums_week ON ledger_sums (week);
