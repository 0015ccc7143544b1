"""A server's past: metrics on an even grid, and samples as they were sent; hot and archived joined.

Reads the stores; knows nothing of HTTP.
"""

from openmanager.charts.grid import KEYS, MAX_POINTS, STEP, Range, metrics
from openmanager.charts.raw import CURSOR, page
from openmanager.telemetry.rollups import STATS

__all__ = ["CURSOR", "KEYS", "MAX_POINTS", "STATS", "STEP", "Range", "metrics", "page"]
