"""How far a long command is, on a terminal."""

import sys


def tell(done: int, total: int, what: str = "minutes") -> None:
    """Replace the line that says how many (of what) are done; the last call clears it."""
    sys.stderr.write(f"\r{done:,} of {total:,} {what}" if done < total else "\r\033[K")
    sys.stderr.flush()
