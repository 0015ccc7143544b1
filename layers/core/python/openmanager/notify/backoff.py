"""When to try again. Pure: the jitter comes from the key, so that the same entry always has the same schedule."""

from hashlib import blake2s

FIRST_S = 30.0
LONGEST_S = 900.0
# After this long without success a notice is parked as failed, for people to see.
GIVE_UP_MS = 24 * 3_600_000


def delay_s(key: str, tries: int) -> float:
    """Seconds from failure number `tries` (from 1) to the next attempt.

    Doubling from FIRST_S up to LONGEST_S, less up to a half by jitter, so that what failed together is not tried
    together ("equal jitter", https://aws.amazon.com/blogs/architecture/exponential-backoff-and-jitter/).
    """
    whole = min(LONGEST_S, FIRST_S * 2.0 ** min(tries - 1, 30))
    digest = blake2s(f"{key}|{tries}".encode(), digest_size=4).digest()
    return whole * (1 - int.from_bytes(digest) / 2**33)


def next_try_ms(key: str, tries: int, first_ms: int, now_ms: int, retry_after_s: float | None) -> int | None:
    """When to try again after failure number `tries`, never before the receiver allows it; None to give up.

    `first_ms` is when it failed for the first time.
    """
    at = now_ms + round(max(delay_s(key, tries), retry_after_s or 0.0) * 1000)
    return at if at <= first_ms + GIVE_UP_MS else None
