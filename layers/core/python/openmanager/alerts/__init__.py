"""Alerts: rules as data, their life as a pure function, grouping into incidents, silences. No stores, no clock."""
