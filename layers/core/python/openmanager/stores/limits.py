"""Who has asked how often: sliding windows in Redis, counted by one script, one hash for each budget.

A request counts wholly in its own window and, in the next one, by the share of it that still lies within a window's
length before now. So nobody gets two windows' worth around a boundary, and a budget is three small numbers
(Cloudflare, "How we built rate limiting capable of scaling to millions of domains", 2017).
"""

import math
from collections.abc import Mapping

from openmanager.stores.redis import connect
from openmanager.values import frozen

PREFIX = "om:limit|"

# KEYS: the budgets. ARGV: now in seconds, window in seconds, cost, 1 to count even beyond the limit, a limit each.
# Counts in all of them or in none; answers 1 or 0, then window, previous and current of each.
_TAKE = """#!lua flags=allow-key-locking
local now, length, cost, force = tonumber(ARGV[1]), tonumber(ARGV[2]), tonumber(ARGV[3]), ARGV[4] == '1'
local allowed, counts = true, {}
for i, key in ipairs(KEYS) do
  local held = redis.call('HMGET', key, 'window', 'previous', 'current')
  local window, previous, current = tonumber(held[1]) or 0, tonumber(held[2]) or 0, tonumber(held[3]) or 0
  local today = math.floor(now / length)
  if today == window + 1 then
    window, previous, current = today, current, 0
  elseif today > window then
    window, previous, current = today, 0, 0
  end
  local share = math.min(1, 1 - (now - window * length) / length)
  if previous * share + current + cost > tonumber(ARGV[4 + i]) then allowed = false end
  counts[i] = {window, previous, current}
end
local answer = {allowed and 1 or 0}
for i, key in ipairs(KEYS) do
  local window, previous, current = counts[i][1], counts[i][2], counts[i][3]
  if allowed or force then
    current = current + cost
    redis.call('HSET', key, 'window', window, 'previous', previous, 'current', current)
    redis.call('EXPIRE', key, 2 * length)
  end
  answer[#answer + 1] = window
  answer[#answer + 1] = previous
  answer[#answer + 1] = current
end
return answer
"""


@frozen
class Count:
    """Requests of a window (numbered since the epoch) and of the one before it."""

    window: int = 0
    previous: int = 0
    current: int = 0

    def at(self, now_s: float, window_s: int) -> "Count":
        """The same in the window of `now_s`; a clock that lags behind another's changes nothing."""
        today = math.floor(now_s / window_s)
        if today <= self.window:
            return self
        return Count(today, self.current if today == self.window + 1 else 0, 0)

    def used(self, now_s: float, window_s: int) -> float:
        """Requests within a window's length before `now_s`, the previous window's by their share."""
        share = 1 - (now_s - self.window * window_s) / window_s
        return self.previous * min(1.0, share) + self.current

    def plus(self, cost: int) -> "Count":
        return Count(self.window, self.previous, self.current + cost)

    def wait_s(self, now_s: float, window_s: int, limit: int) -> int:
        """Whole seconds until one more request fits, at least one."""
        into = now_s - self.window * window_s
        if self.current < limit:
            free = window_s * (1 - (limit - self.current - 1) / self.previous) if self.previous else into
        else:
            free = window_s + window_s * (1 - (limit - 1) / self.current)
        return max(1, math.ceil(free - into))


def take(
    limits: Mapping[str, int], now_s: float, window_s: int, cost: int = 1, force: bool = False
) -> tuple[bool, list[Count]]:
    """Count `cost` requests against every budget (name -> limit) if all have room, or in any case with `force`.

    Returns whether all had room, and the counts afterwards. Raises StoreUnavailable; then it may have counted.
    """
    keys = [PREFIX + name for name in limits]
    told = connect().call("EVAL", _TAKE, len(keys), *keys, now_s, window_s, cost, int(force), *limits.values())
    allowed, *flat = (int(number) for number in told)
    return bool(allowed), [Count(*flat[i : i + 3]) for i in range(0, len(flat), 3)]
