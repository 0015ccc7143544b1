"""What doors ask of Redis before they let somebody in.

om:keys         hash: API key's id -> JSON without the key itself; Postgres holds the truth (stores.identity). The
                field `@published` says that Redis has them all
om:keys:used    hash: API key's id -> when it was last used (s)
om:revoked      sorted set by when a member may be forgotten (s): `token|<jti>`, and `user|<name>|<s>` for all tokens of
                a user that are older
om:login:…      hash: failures (n) of one user from one address, or of one address, and `until` when none may try (ms)
om:told:…       1: this event is in the audit log and need not be again for a day
"""

from collections.abc import Mapping

from openmanager.stores.redis import Command, connect, pairs
from openmanager.values import frozen

KEYS = "om:keys"
USED = "om:keys:used"
REVOKED = "om:revoked"
PUBLISHED = "@published"
_LOGIN = "om:login:"
_TOLD = "om:told:"
_FORGET_S = 24 * 3600

# An attempt counts as a failure until it turns out well, so that many at once are as many. KEYS: those whose failures
# count. ARGV: now (ms), first and longest wait (ms), seconds to remember, then for each key how many may fail.
_ATTEMPT = """
local now, first, longest = tonumber(ARGV[1]), tonumber(ARGV[2]), tonumber(ARGV[3])
local wait = 0
for _, key in ipairs(KEYS) do
  wait = math.max(wait, tonumber(redis.call('HGET', key, 'until') or '0') - now)
end
if wait > 0 then return {wait} end
local answer = {0}
for i, key in ipairs(KEYS) do
  local failures = redis.call('HINCRBY', key, 'n', 1)
  answer[1 + i] = failures
  local beyond = failures - tonumber(ARGV[4 + i])
  if beyond >= 0 then
    redis.call('HSET', key, 'until', now + math.min(longest, first * 2 ^ math.min(beyond, 30)))
  end
  redis.call('EXPIRE', key, ARGV[4])
end
return answer
"""


@frozen
class Attempt:
    """Whether one may try to log in: how long to wait first (ms), else the failures if this is one, in order."""

    wait_ms: int
    failures: tuple[int, ...]


def read_keys(used: Mapping[str, int]) -> dict[str, str] | None:
    """All keys by id, None if Redis does not have them; tells when some were used. Raises StoreUnavailable."""
    commands: list[Command] = [("HGETALL", KEYS)]
    if used:
        commands.append(("HSET", USED, *(part for item in used.items() for part in item)))
    found = pairs(connect().run(*commands, repeatable=True)[0])
    return found if found.pop(PUBLISHED, None) else None


def publish_keys(keys: Mapping[str, str]) -> None:
    """Replace all keys at once. Raises StoreUnavailable."""
    fields = [part for item in {**keys, PUBLISHED: "1"}.items() for part in item]
    connect().run(("DEL", KEYS), ("HSET", KEYS, *fields), atomic=True, repeatable=True)


def last_used() -> dict[str, int]:
    """When each key was last used (s), as far as told. Raises StoreUnavailable."""
    return {key: int(at) for key, at in pairs(connect().call("HGETALL", USED, repeatable=True)).items()}


def revoke(member: str, until_s: float, now_s: float) -> None:
    """Add to what is revoked, and forget what has expired. Raises StoreUnavailable."""
    commands: list[Command] = [("ZADD", REVOKED, until_s, member), ("ZREMRANGEBYSCORE", REVOKED, "-inf", now_s)]
    connect().run(*commands, repeatable=True)


def revoke_once(member: str, until_s: float) -> bool:
    """Add to what is revoked; False if it was there. Raises StoreUnavailable."""
    added: int = connect().call("ZADD", REVOKED, "NX", until_s, member)
    return added == 1


def read_revoked(now_s: float) -> list[str]:
    """Everything that is revoked and not expired. Raises StoreUnavailable."""
    found: list[str] = connect().call("ZRANGEBYSCORE", REVOKED, now_s, "+inf", repeatable=True)
    return found


def attempt(allowed: Mapping[str, int], now_ms: int, first_ms: int, longest_ms: int) -> Attempt:
    """Count an attempt to log in under each name (name -> failures allowed). Raises StoreUnavailable."""
    keys = [_LOGIN + name for name in allowed]
    limits = allowed.values()
    arguments = (now_ms, first_ms, longest_ms, _FORGET_S, *limits)
    wait_ms, *failures = connect().call("EVAL", _ATTEMPT, len(keys), *keys, *arguments)
    return Attempt(int(wait_ms), tuple(int(n) for n in failures))


def succeeded(user: str, address: str) -> None:
    """Forget a user's failures from an address, and that this attempt from it counted. Raises StoreUnavailable."""
    place = _LOGIN + address
    connect().run(("DEL", _LOGIN + user), ("HINCRBY", place, "n", -1), ("EXPIRE", place, _FORGET_S), atomic=True)


def tell(event: str, forget_s: int) -> bool:
    """Whether nobody has said this within `forget_s` seconds; from now on somebody has. Raises StoreUnavailable."""
    return connect().call("SET", _TOLD + event, 1, "NX", "EX", forget_s) is not None
