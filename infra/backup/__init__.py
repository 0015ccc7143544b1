"""All that an OpenManager knows in one file, and back: every table of Postgres, and what only Redis holds.

Reaches both stores itself, unlike infra.transfer, which asks the API; may import doctor, local and migrations.
"""
