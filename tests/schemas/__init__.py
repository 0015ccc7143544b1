"""What earlier schemas left: backups of filled installations (tests.filled), one a schema, named after its last
migration.
"""
