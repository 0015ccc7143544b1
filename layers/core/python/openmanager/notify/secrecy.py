"""Secrets of targets at rest: sealed before they are stored, opened where they are needed.

A secret is bound to its target, channel and setting, and to the settings that say where the channel sends it: whoever
writes to a store without a key can neither move it nor lead it elsewhere.
"""

import json
from collections.abc import Collection
from dataclasses import replace
from urllib.parse import urlsplit

from openmanager.notify.targets import SETTINGS, Target, secrets_of
from openmanager.security.sealing import CannotOpen, Sealed, open_sealed, seal
from openmanager.settings import settings


def sealed(target: Target) -> Target:
    """The target as it is to be stored: no secret in clear text if there is a key. Raises InvalidSettings."""
    boxes = {
        name: seal(secret, place(target, name))
        for name in secrets_of(target.channel)
        if isinstance(secret := target.settings.get(name), str)
    }
    return replace(target, settings={**target.settings, **boxes})


def opened(target: Target) -> tuple[Target, dict[str, CannotOpen]]:
    """The target with its secrets as they are, and why for those that stay sealed. Raises InvalidSettings."""
    texts: dict[str, str] = {}
    stuck: dict[str, CannotOpen] = {}
    for name, value in target.settings.items():
        if isinstance(value, Sealed):
            try:
                texts[name] = open_sealed(value, place(target, name))
            except CannotOpen as error:
                stuck[name] = error
    return replace(target, settings={**target.settings, **texts}), stuck


def readable(target: Target) -> Target:
    """The target with all its secrets as they are. Raises CannotOpen naming the setting, and InvalidSettings."""
    found, stuck = opened(target)
    for name, error in stuck.items():
        raise CannotOpen(f"settings.{name} {error}", error.may_pass)
    return found


def without_secrets(target: Target, text: str) -> str:
    """A receiver's words without the target's secrets, which some repeat; of an address its path is the secret."""
    own = [target.settings.get(name) for name in secrets_of(target.channel)]
    secrets = [secret for secret in own if isinstance(secret, str)]
    paths = [path for secret in secrets if "://" in secret and len(path := urlsplit(secret).path) > 1]
    for secret in [*secrets, *paths]:
        text = text.replace(secret, "…")
    return text


def outdated(target: Target, stuck: Collection[str]) -> bool:
    """Whether a secret other than those that are stuck is not sealed with the first key, which must be there."""
    first = next(iter(settings().encryption_keys))
    own = [target.settings.get(name) for name in secrets_of(target.channel) - set(stuck)]
    return any(s.key != first if isinstance(s, Sealed) else s is not None for s in own)


def place(target: Target, name: str) -> bytes:
    """What a secret is bound to. Settings at their default count as not there, so that a new one spoils nothing."""
    leads = {
        other: value
        for other, setting in SETTINGS[target.channel].items()
        if setting.binds and (value := target.settings.get(other)) not in (None, setting.default)
    }
    return json.dumps([target.id, target.channel, name, leads], sort_keys=True).encode()
