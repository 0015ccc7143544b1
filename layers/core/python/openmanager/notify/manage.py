"""Targets and the outbox for people: what the API shows and changes."""

import secrets
from collections.abc import Mapping, Sequence
from typing import Any

from openmanager.errors import Full, InvalidInput, NotFound
from openmanager.notify import guard
from openmanager.notify.entries import again, read_entry, shown
from openmanager.notify.history import published_text
from openmanager.notify.notice import Notice
from openmanager.notify.secrecy import opened, outdated, sealed
from openmanager.notify.send import send
from openmanager.notify.targets import MAX_TARGETS, Target, keep_secrets, masked, read_stored, read_target
from openmanager.settings import settings
from openmanager.stores import audit, notifications, outbox

_ADDRESSES = ("url", "server")
# Of a shown target: setting -> why its sealed secret cannot be read. Not there where all can.
UNREADABLE = "unreadable"
Body = dict[str, Any]


def targets() -> list[Body]:
    """Every target, its secrets masked."""
    return [_described(read_stored(body)) for body in notifications.read_targets()]


def target(identity: str) -> Body:
    """One target, its secrets masked. Raises NotFound."""
    return _described(_known(identity))


def put_target(identity: str, item: Any) -> Body:
    """Store and publish a target, which is returned masked; secrets left out stay as they were.

    Raises InvalidInput naming the field; Full, StoreUnavailable with nothing changed.
    """
    if not isinstance(item, Mapping):
        raise InvalidInput("body", "must be an object")
    if item.get("id", identity) != identity:
        raise InvalidInput("id", "must be the one in the address, or left out")
    made: list[Target] = []

    def change(before: Body | None) -> Body:
        known = opened(read_stored(before))[0] if before else None
        given = {name: value for name, value in item.items() if name != UNREADABLE}
        found = read_target(keep_secrets({**given, "id": identity}, known))
        _check_addresses(found)
        made[:] = [sealed(found)]
        return made[0].as_dict()

    notifications.change_target(identity, change, _shown, _publish)
    return _described(made[0])


def delete_target(identity: str) -> None:
    """Forget a target. Raises NotFound."""
    if notifications.change_target(identity, lambda _: None, _shown, _publish) is None:
        raise NotFound(f"no target {identity!r}")


def seal_targets() -> Body:
    """Seal every secret anew that is not sealed with the first key; which targets had some. None without a key.

    What cannot be opened stays as it is, and is named with the reason.
    """
    key = next(iter(settings().encryption_keys), None)
    unreadable: Body = {}

    def change(body: Body) -> Body:
        try:
            stored = read_stored(body)
        except InvalidInput as error:
            unreadable[body["id"]] = {error.field: error.reason}
            return body
        found, stuck = opened(stored)
        if stuck:
            unreadable[stored.id] = _reasons(stuck)
        # What stays sealed with a key that is gone would count as outdated for ever.
        return sealed(found).as_dict() if outdated(stored, stuck) else body

    changed = notifications.change_targets("target.seal", change, _shown, _publish) if key else []
    return {"key": key, "changed": changed, "unreadable": unreadable}


def try_target(identity: str, now_s: float) -> Body:
    """Send a test notice now; what the receiver said. Raises NotFound."""
    known = _known(identity)
    name = f"test|{identity}|{secrets.token_hex(8)}"
    notice = Notice(name, "test", "", "test", "info", now_s, now_s, "Test")
    outcome = send(notice, known, f"{name}|{identity}", now_s)
    audit.record("target.test", identity)
    return {"delivered": outcome.kind == "delivered", "status": outcome.status, "detail": outcome.detail}


def waiting() -> Body:
    """What waits and what has failed, oldest first, each with the reason."""
    return {
        name: _listed(texts) for name, texts in zip(("waiting", "failed"), outbox.waiting_and_failed(), strict=True)
    }


def retry(key: str) -> Body:
    """Have an entry tried with the next delivery, as if for the first time. Raises NotFound."""
    still, parked = outbox.entry(key)
    text = parked if still is None else still
    if text is None:
        raise NotFound(f"no entry {key!r} in the outbox")
    fresh = again(read_entry(key, text))
    if not outbox.put_back(key, text, fresh, parked=still is None):
        raise NotFound(f"entry {key!r} has just been settled")
    audit.record("outbox.retry", key)
    return shown(read_entry(key, fresh))


def _known(identity: str) -> Target:
    body = notifications.read_target(identity)
    if body is None:
        raise NotFound(f"no target {identity!r}")
    return read_stored(body)


def _described(stored: Target) -> Body:
    found, stuck = opened(stored)
    return masked(found) | ({UNREADABLE: _reasons(stuck)} if stuck else {})


def _reasons(stuck: Mapping[str, Exception]) -> dict[str, str]:
    return {name: str(error) for name, error in stuck.items()}


def _shown(body: Body) -> Body:
    # As the audit log has it: with whatever key a secret is sealed, or with none, its digest is the same.
    return masked(opened(read_stored(body))[0])


def _publish(bodies: Sequence[Body]) -> None:
    if len(bodies) > MAX_TARGETS:
        raise Full(f"there are {MAX_TARGETS} already")
    outbox.publish_targets(published_text(bodies))


def _check_addresses(found: Target) -> None:
    for name in _ADDRESSES:
        if name in found.settings:
            try:
                guard.check_scheme(found.settings[name])
            except guard.Refused as error:
                raise InvalidInput(f"settings.{name}", str(error)) from None


def _listed(texts: Mapping[str, str]) -> list[Body]:
    rows = []
    for key, text in texts.items():
        try:
            rows.append(shown(read_entry(key, text)))
        except InvalidInput as error:
            rows.append({"key": key, "reason": error.reason})
    return sorted(rows, key=lambda row: row.get("notice", {}).get("at", 0.0))
