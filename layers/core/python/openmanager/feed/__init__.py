"""The live feed's inside: one hub a process knows the fleet as of now and tells all its readers what changes.

Imports the floors below and `oncall`, for open alerts. Knows nothing of HTTP; what events look like on the wire is
described in schema.json here.
"""
