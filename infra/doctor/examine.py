"""All checks of a place, in the order in which one's answer explains the next's."""

from collections.abc import Iterator
from contextlib import ExitStack, closing

from openmanager.errors import InvalidSettings
from openmanager.settings import read_settings

from infra.doctor import cloud, configured, postgres, redis, running
from infra.doctor.clock import clock
from infra.doctor.finding import Finding, worst
from infra.doctor.place import Place
from infra.doctor.rest import Rest


def examine(place: Place) -> Iterator[Finding]:
    """Every finding, as soon as it is known."""
    if place.aws:
        yield from cloud.stack(place.aws)
    yield from configured.settings(place)
    with ExitStack() as opened:
        rest = rest_of(place)
        if rest:
            opened.enter_context(closing(rest))
        found = redis.reach(rest)
        yield from found
        usable = rest if rest and not worst(found) else None
        if usable:
            yield from redis.distance(place, usable, cloud.region_ms(place.aws) if place.aws else None)
        history, found = postgres.reach(place)
        yield from found
        if history:
            opened.enter_context(closing(history))
            yield from postgres.schema(history)
            yield from postgres.left_behind(history)
        yield from clock(usable, history)
        servers, found = running.api(place)
        yield from found
        yield from running.senders(place, servers)
        if usable:
            yield from running.rounds(place, usable, servers)
            yield from running.archive(place, usable, _shards(place))
            yield from running.notices(usable)
    if place.aws:
        yield from cloud.queues(place.aws)


def rest_of(place: Place) -> Rest | None:
    """Its Redis, None where the settings do not say where that is."""
    url, token = (place.env.get(f"UPSTASH_REDIS_REST_{part}", "") for part in ("URL", "TOKEN"))
    return Rest(url, token) if token and url.startswith(("https://", "http://")) else None


def _shards(place: Place) -> int:
    try:
        return read_settings(place.env).shards
    except InvalidSettings:
        return 1
