"""How far a long command is, on a terminal."""

import sys


def tell(done: int, total: int) -> None:
    """Replace the line that says how many minutes are done; the last call clears it."""
    sys.stderr.write(f"\r{done:,} of {total:,} minutes" if done < total else "\r\033[K")
    sys.stderr.flush()
