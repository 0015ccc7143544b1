"""Where measurements go: standard output, at once."""

import sys


def say(text: str = "") -> None:
    """A line."""
    sys.stdout.write(text + "\n")
    sys.stdout.flush()
