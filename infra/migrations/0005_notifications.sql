-- Whom to tell, and what came of telling them.

-- The body is openmanager.notify.targets.Target as JSON, secrets included; Redis holds a copy for the rounds.
CREATE TABLE notification_targets (
    id text PRIMARY KEY,
    body jsonb NOT NULL,
    changed timestamptz NOT NULL
);

-- One row an attempt. `place` is where it stood in Redis' stream, which begins anew if Redis loses everything.
CREATE TABLE notification_outcomes (
    place text NOT NULL,
    at timestamptz NOT NULL,
    target text NOT NULL,
    outcome jsonb NOT NULL,
    PRIMARY KEY (place, at)
);
CREATE INDEX notification_outcomes_at ON notification_outcomes (at);
