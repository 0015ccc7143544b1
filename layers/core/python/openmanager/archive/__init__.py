"""Moves what is settled from Redis to Postgres, closes days, and lets go of what is past its time.

Uses the stores and telemetry; nothing imports it but its function.
"""

from openmanager.archive.move import Report, run

__all__ = ["Report", "run"]
