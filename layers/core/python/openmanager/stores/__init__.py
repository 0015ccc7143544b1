"""Redis (hot), Postgres (history and what people set), the live feed and the queue of rounds.

Commands and SQL are written out here and nowhere else.
"""

import sys


def reset() -> None:
    """Forget every connection of this process, so that the next call connects by the settings of then."""
    for name in ("redis", "postgres"):
        if module := sys.modules.get(f"openmanager.stores.{name}"):
            if module.connect.cache_info().currsize:
                module.connect().close()
            module.connect.cache_clear()
    if queue := sys.modules.get("openmanager.stores.queue"):
        queue.connect.cache_clear()
    if limits := sys.modules.get("openmanager.web.limits"):
        limits.local.cache_clear()
    if intake := sys.modules.get("openmanager.intake"):
        intake.forget()
    if hub := sys.modules.get("openmanager.feed.hub"):
        hub.forget()
    for name in ("keys", "revocations", "issuer", "events"):
        if room := sys.modules.get(f"openmanager.security.{name}"):
            room.forget()
    if cadence := sys.modules.get("openmanager.stores.cadence"):
        cadence.remember(None)
    if awaited := sys.modules.get("openmanager.stores.awaited"):
        awaited.remember(None)
    if deadman := sys.modules.get("openmanager.watch.deadman"):
        deadman.forget()
    if pushes := sys.modules.get("openmanager.stores.pushes"):
        pushes.forget_baselines()
