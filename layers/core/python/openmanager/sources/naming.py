"""How senders' names for servers and instances become ours."""

import re

from openmanager.names import SERVER_ID
from openmanager.sources.limits import MAX_ATTRIBUTE, MAX_INSTANCE_LENGTH, MAX_LABEL_VALUE
from openmanager.suppliers import IGNORED_DEVICES, PARTITION

_UNFIT = re.compile(r"[^A-Za-z0-9._:-]")


def server_id(name: str) -> str | None:
    """A sender's name of a machine as a server's id; None if nothing of it can be used."""
    if SERVER_ID.fullmatch(name):
        return name
    # An IPv6 address comes in brackets, which are no part of it.
    name = _UNFIT.sub("-", name.replace("[", "").replace("]", ""))
    return name.lstrip("._:-")[:128] or None


def counts(part: str, instance: str) -> bool:
    """Whether this instance of a part is a thing of its own: not virtual, not a partition, not a second name."""
    if not 0 < len(instance) <= MAX_INSTANCE_LENGTH or not instance.isprintable():
        return False
    group = part.partition("_")[0]
    if group == "disk" and PARTITION.fullmatch(instance):
        return False
    return not instance.startswith(IGNORED_DEVICES.get(group, ()))


def add_attribute(attributes: dict[str, str], name: str, value: str) -> None:
    """Keep a sender's word about a server if it is fit to be shown; the first one stays."""
    if value and len(value) <= MAX_ATTRIBUTE.get(name, MAX_LABEL_VALUE) and value.isprintable():
        attributes.setdefault(name, value)
