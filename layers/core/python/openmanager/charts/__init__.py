"""A server's past: metrics on an even grid, and samples as they were sent; hot and archived joined.

Reads the stores; knows nothing of HTTP.
"""

from openmanager.charts.grid import MAX_POINTS, Range, metrics
from openmanager.charts.raw import page
from openmanager.charts.span import span

__all__ = ["MAX_POINTS", "Range", "metrics", "page", "span"]
