"""What happened in an incident, from stored evidence only: gathered (facts), put together (compose), told (markdown).

`facts` reads the stores; the rest is pure. The same evidence gives the same report, to the octet.
"""

from openmanager.oncall.report.facts import report
from openmanager.oncall.report.markdown import markdown

__all__ = ["markdown", "report"]
