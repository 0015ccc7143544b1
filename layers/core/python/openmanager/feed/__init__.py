"""The live feed's inside: one hub a process knows the fleet as of now and tells all its readers what changes.

Imports the floors below and `oncall`, for open alerts. Knows nothing of HTTP. infra/clients/feed.schema.json says what
its events hold.
"""
