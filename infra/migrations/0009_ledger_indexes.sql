-- Indexes for what is asked: an incident's alerts, all that happened to an alert, warning episodes by their beginning.

CREATE INDEX alert_transitions_alert ON alert_transitions (alert);
CREATE INDEX alert_transitions_incident ON alert_transitions (incident) WHERE incident <> '';
DROP INDEX ledger_episodes_ended;
CREATE INDEX ledger_episodes_began ON ledger_episodes (began);
