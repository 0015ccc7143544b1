"""mcp_settings.json: which outside MCP servers there are. Pure; every error names the key.

`{"mcpServers": {name: …}}` as other hosts read it: `command`, `args`, `env` and `cwd` of a program, or `url` and
`headers`; `disabled`. `${NAME}` in any of their texts stands for a variable of the environment, `${NAME:-default}` too.
Ours, all optional: `allowedTools` (nothing else is listed or called), `readerTools` (for who only reads, too),
`timeoutSeconds` (of a call, with all that it starts), `maxOutputBytes` (of an answer), `maxCalls` (at once).
"""

import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import field
from typing import Any

from openmanager.errors import InvalidSettings
from openmanager.values import frozen

_TIMEOUT_S, _OUTPUT_BYTES, _CALLS = 10, 64 << 10, 4
# The function itself may take 29 s (serverless.yml); a Lambda may answer 6 MB.
_LONGEST_S, _MOST_BYTES, _MOST_CALLS = 25, 1 << 20, 32
# Shorter ones are words such as "1" or "true", and may stand anywhere.
_LEAST_SECRET = 6

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}")
_VARIABLE = re.compile(r"\$\{([A-Za-z_][A-Za-z0-9_]*)(?::-([^}]*))?\}")
_KEY_NAME = re.compile(
    r"token|secret|pass|pwd|key|auth|credential|cookie|dsn|(^|_)pat($|_)|database_url", re.IGNORECASE
)
_PROGRAM = {"command", "args", "env", "cwd"}
_REMOTE = {"url", "headers"}
_OURS = {"allowedTools", "readerTools", "timeoutSeconds", "maxOutputBytes", "maxCalls"}
# Of other hosts, and nothing to us.
_IGNORED = {"description", "autoApprove", "alwaysAllow"}
_TYPES = {"stdio": _PROGRAM, "http": _REMOTE, "streamable-http": _REMOTE, "streamableHttp": _REMOTE}


@frozen
class Server:
    """A server as the file has it: a program (`command`) or an address (`url`).

    `allowed` and `readers` are None where the file does not say. `problem` says why it cannot be used as it stands,
    naming the key. `secrets` are values that are not to be repeated where a server's failure is told, and `keys` those
    among them that are headers or whose names say what they are, which no answer may repeat either.
    """

    name: str
    command: str = ""
    args: tuple[str, ...] = ()
    env: Mapping[str, str] = field(default_factory=dict)
    cwd: str | None = None
    url: str = ""
    headers: Mapping[str, str] = field(default_factory=dict)
    disabled: bool = False
    allowed: tuple[str, ...] | None = None
    readers: tuple[str, ...] | None = None
    timeout_s: float = _TIMEOUT_S
    max_output_bytes: int = _OUTPUT_BYTES
    max_calls: int = _CALLS
    problem: str = ""
    secrets: tuple[str, ...] = ()
    keys: tuple[str, ...] = ()


def read(document: Any, env: Mapping[str, str]) -> tuple[Server, ...]:
    """The servers of the file, in its order. Raises InvalidSettings.

    A variable that is not set is a problem of its server alone, and none of one that is disabled.
    """
    whole = _object("", document)
    servers = _object("mcpServers", whole.get("mcpServers"))
    return tuple(_server(name, entry, env) for name, entry in servers.items())


def hide(text: str, secrets: tuple[str, ...]) -> str:
    """A text without secrets, in which they may stand as they do in what a program complains of."""
    for secret in sorted(secrets, key=len, reverse=True):
        text = text.replace(secret, "***")
    return text


def _server(name: str, value: Any, env: Mapping[str, str]) -> Server:
    key = f"mcpServers.{name}"
    if not _NAME.fullmatch(name):
        raise InvalidSettings(f"{key}: a name is letters, digits, `.`, `_` and `-`, at most 64")
    entry = {k: v for k, v in _object(key, value).items() if k not in _IGNORED}
    _check_keys(key, entry)
    disabled = entry.get("disabled", False)
    if not isinstance(disabled, bool):
        raise InvalidSettings(f"{key}.disabled: must be true or false")
    written = {
        "command": _text(f"{key}.command", entry.get("command", "")),
        "args": _texts(f"{key}.args", entry.get("args")),
        "env": _mapping(f"{key}.env", entry.get("env")),
        "cwd": _text(f"{key}.cwd", entry["cwd"]) if entry.get("cwd") is not None else None,
        "url": _text(f"{key}.url", entry.get("url", "")),
        "headers": _mapping(f"{key}.headers", entry.get("headers")),
    }
    if not disabled:
        unset, filled = _filled(key, written, env)
    else:
        unset, filled = "", written
    if filled["url"] and not unset and not re.match(r"https?://[^\s/]", filled["url"]):
        raise InvalidSettings(f"{key}.url: must begin with https:// or http://")
    return Server(
        name=name,
        disabled=disabled,
        allowed=_optional(f"{key}.allowedTools", entry.get("allowedTools")),
        readers=_optional(f"{key}.readerTools", entry.get("readerTools")),
        timeout_s=_number(f"{key}.timeoutSeconds", entry.get("timeoutSeconds", _TIMEOUT_S), 0.1, _LONGEST_S),
        max_output_bytes=int(
            _number(f"{key}.maxOutputBytes", entry.get("maxOutputBytes", _OUTPUT_BYTES), 1000, _MOST_BYTES)
        ),
        max_calls=int(_number(f"{key}.maxCalls", entry.get("maxCalls", _CALLS), 1, _MOST_CALLS)),
        problem=unset,
        secrets=tuple(_words(_values(filled, written))),
        keys=tuple(_words(_named_values(filled, written, env))),
        **filled,
    )


def _check_keys(key: str, entry: Mapping[str, Any]) -> None:
    program, remote = entry.keys() & _PROGRAM, entry.keys() & _REMOTE
    if bool(entry.get("command")) == bool(entry.get("url")):
        raise InvalidSettings(f"{key}: needs either `command` or `url`")
    kind = entry.get("type", "http" if entry.get("url") else "stdio")
    if kind not in _TYPES:
        raise InvalidSettings(f"{key}.type: {kind!r} is none of {', '.join(_TYPES)}")
    for name in sorted((program | remote) - _TYPES[kind]):
        raise InvalidSettings(f"{key}.{name}: does not go with {'`url`' if entry.get('url') else '`command`'}")
    for name in sorted(entry.keys() - _PROGRAM - _REMOTE - _OURS - {"type", "disabled"}):
        raise InvalidSettings(f"{key}.{name}: is no setting")


def _filled(key: str, written: Mapping[str, Any], env: Mapping[str, str]) -> tuple[str, dict[str, Any]]:
    """(the first problem, the entry with variables in their places)."""
    unset: list[str] = []

    def fill(where: str, text: str) -> str:
        def value(found: re.Match[str]) -> str:
            name, default = found.groups()
            # As in a shell, `:-` counts an empty variable as none.
            known = env.get(name) or default if default is not None else env.get(name)
            if known is None:
                unset.append(f"{where}: the variable {name} is not set")
            return known or ""

        return _VARIABLE.sub(value, text)

    filled: dict[str, Any] = {}
    for name, value in written.items():
        where = f"{key}.{name}"
        if isinstance(value, tuple):
            filled[name] = tuple(fill(f"{where}[{i}]", text) for i, text in enumerate(value))
        elif isinstance(value, dict):
            filled[name] = {k: fill(f"{where}.{k}", text) for k, text in value.items()}
        else:
            filled[name] = None if value is None else fill(where, value)
    return (unset[0] if unset else ""), filled


def _values(filled: Mapping[str, Any], written: Mapping[str, Any]) -> Iterator[str]:
    """What is kept in env and headers, or comes from variables."""
    yield from filled["env"].values()
    yield from filled["headers"].values()
    for name in ("command", "args", "cwd", "url"):
        before, after = written[name], filled[name]
        many = zip(before, after, strict=True) if isinstance(before, tuple) else [(before, after)]
        yield from (b for a, b in many if a != b)


def _named_values(filled: Mapping[str, Any], written: Mapping[str, Any], env: Mapping[str, str]) -> Iterator[str]:
    """Headers, and what is a key, a token, … by its own name or by that of its variable."""
    yield from filled["headers"].values()
    yield from (value for name, value in filled["env"].items() if _KEY_NAME.search(name))
    texts = [written["command"], *written["args"], *written["env"].values(), written["cwd"] or "", written["url"]]
    for name, default in (found.groups() for text in texts for found in _VARIABLE.finditer(text)):
        if _KEY_NAME.search(name):
            yield env.get(name) or default or ""


def _words(values: Iterable[str]) -> Iterator[str]:
    for value in values:
        if len(value) >= _LEAST_SECRET:
            yield value
            # `Bearer …`: the second word is the secret, and may turn up alone.
            yield from (word for word in value.split() if word != value and len(word) > _LEAST_SECRET)


def _object(key: str, value: Any) -> Mapping[str, Any]:
    if not isinstance(value, dict):
        raise InvalidSettings(f"{key or 'the file'}: must be an object")
    return value


def _text(key: str, value: Any) -> str:
    if not isinstance(value, str) or "\0" in value:
        raise InvalidSettings(f"{key}: must be a text")
    return value


def _texts(key: str, value: Any) -> tuple[str, ...]:
    if value is None:
        return ()
    if not isinstance(value, list):
        raise InvalidSettings(f"{key}: must be a list")
    return tuple(_text(f"{key}[{i}]", item) for i, item in enumerate(value))


def _optional(key: str, value: Any) -> tuple[str, ...] | None:
    return None if value is None else _texts(key, value)


def _mapping(key: str, value: Any) -> dict[str, str]:
    return {} if value is None else {k: _text(f"{key}.{k}", v) for k, v in _object(key, value).items()}


def _number(key: str, value: Any, low: float, high: float) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float) or not low <= value <= high:
        raise InvalidSettings(f"{key}: must be a number from {low:g} to {high:g}")
    return float(value)
