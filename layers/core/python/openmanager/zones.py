"""Time zones by their IANA names; the library that knows them loads with the first one that is asked for."""

from datetime import tzinfo


def zone(name: str) -> tzinfo:
    """The zone. Raises ValueError where there is none of that name, TypeError where it is no name."""
    from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

    try:
        return ZoneInfo(name)
    except (ZoneInfoNotFoundError, OSError) as error:
        raise ValueError(f"{name[:64]!r} is not a known time zone") from error
