"""The live feed: three streams of Redis, and the key that says that somebody watches.

om:feed      stream of `alert` and `model` events, always: what happened, as JSON
om:said      stream of what each round said of its servers, packed JSON; only while somebody watches
om:live      stream of what ingest stored, field for field as in the segments' hashes, after a mark of when the watch
             began; only while somebody watches
om:watched   the mark's id; gone some time after the last hub asked (openmanager.feed)
om:models    hash: model -> JSON of what the rounds have loaded of it

Rounds (stores.hot) and pushes (stores.pushes) look at `om:watched` in the one command that they are anyway.
"""

import json
import re
import zlib
from binascii import a2b_base64, b2a_base64
from collections.abc import Mapping, Sequence
from typing import Any

from openmanager.stores.redis import connect, pairs
from openmanager.values import frozen

FEED, SAID, LIVE, WATCHED, MODELS = "om:feed", "om:said", "om:live", "om:watched", "om:models"
FEED_LENGTH = 2_000
# Some twenty minutes of a shard, or a minute of twenty shards.
SAID_LENGTH = 20
# Pushes: 20 s of 1,000 servers that send every five seconds.
LIVE_LENGTH = 4_000
# A reader that comes back every three seconds keeps the watch up, and so does one that has to look for its network.
WATCH_S = 30
# What the last reader left behind goes by itself.
_LEFT_S = 900
# The place before every event, and the one after the last.
FIRST, NEWEST = "0-0", "$"
ID = re.compile("[0-9]{1,16}-[0-9]{1,16}")

# One look at all three streams, which keeps the watch up. Where nobody watched, the values and verdicts of before are
# cut off, for there is a hole after them, and a new mark is set.
# KEYS: watched, live, said, feed, models. ARGV: the watch's seconds, seconds until it is forgotten, then the places to
# go on after in feed, said and live, each with the most entries to return.
_LOOK = """
local since = redis.call('GET', KEYS[1])
if since then
  redis.call('EXPIRE', KEYS[1], ARGV[1])
else
  redis.call('XTRIM', KEYS[2], 'MAXLEN', 0)
  redis.call('XTRIM', KEYS[3], 'MAXLEN', 0)
  since = redis.call('XADD', KEYS[2], '*', 'since', '')
  redis.call('SET', KEYS[1], since, 'EX', ARGV[1])
end
redis.call('EXPIRE', KEYS[2], ARGV[2])
local answer = {since, redis.call('HGETALL', KEYS[5])}
local function look(key, place, count)
  local first = redis.call('XRANGE', key, '-', '+', 'COUNT', 1)[1]
  local entries = {}
  if place == '$' then
    local last = redis.call('XREVRANGE', key, '+', '-', 'COUNT', 1)[1]
    place = last and last[1] or '0-0'
  else
    entries = redis.call('XRANGE', key, '(' .. place, '+', 'COUNT', count)
  end
  answer[#answer + 1] = {first and first[1] or '', redis.call('XLEN', key), place, entries}
end
look(KEYS[4], ARGV[3], ARGV[4])
look(KEYS[3], ARGV[5], ARGV[6])
look(KEYS[2], ARGV[7], ARGV[8])
return answer
"""
# What a hub begins with, of one shard: the whole verdicts and outlooks would be nine tenths of it and stay away, as do
# frames from before `since`. KEYS: latest, the frames. ARGV: ms since 1970 of the oldest frame wanted.
_SHARD = """
local since = tonumber(ARGV[1])
local function some(key, wanted)
  local found, kept = redis.call('HGETALL', key), {}
  for i = 1, #found, 2 do
    if wanted(found[i]) then kept[#kept + 1] = found[i]; kept[#kept + 1] = found[i + 1] end
  end
  return kept
end
local answer = {some(KEYS[1], function(field)
  local part = string.match(field, '|(%a+)$')
  return not part or part == 'said'
end)}
for i = 2, #KEYS do
  answer[i] = some(KEYS[i], function(field)
    local first = string.match(field, '|(%d+)|')
    return not first or tonumber(first) >= since
  end)
end
return answer
"""

Fields = dict[str, str]


@frozen
class Part:
    """What a look found of one stream: the oldest id that it holds, whether older ones were let go of, the place after
    which was looked, and the entries (id, fields) from there on."""

    oldest: str
    trimmed: bool
    place: str
    entries: list[tuple[str, Fields]]


@frozen
class Look:
    """What is on the streams; `since` is the id in om:live from which on no value and no verdict is missing."""

    since: str
    models: dict[str, Any]
    feed: Part
    said: Part
    live: Part


def look(feed: str, said: str, live: str, count: int = 1_000) -> Look:
    """What came after a place in each stream, at most `count` of each, and the watch goes on. One command.

    NEWEST as a place gives the place where the stream ends. Raises StoreUnavailable.
    """
    keys = (WATCHED, LIVE, SAID, FEED, MODELS)
    arguments = (WATCH_S, _LEFT_S, feed, count, said, count, live, count)
    since, models, *parts = connect().call("EVAL", _LOOK, len(keys), *keys, *arguments)
    lengths = (FEED_LENGTH, SAID_LENGTH, LIVE_LENGTH)
    found = [
        Part(oldest, held >= length, place, [(identity, pairs(flat)) for identity, flat in entries])
        for (oldest, held, place, entries), length in zip(parts, lengths, strict=True)
    ]
    return Look(since, {name: json.loads(text) for name, text in pairs(models).items()}, *found)


def read_shard(shard: int, segments: Sequence[str], since_ms: int) -> tuple[Fields, dict[str, Fields]]:
    """(fields of `latest` without verdicts and outlooks, those of each segment by its key), in one command.

    `segments` are the keys of the frames' hashes; frames that begin before `since_ms` are left out. Raises
    StoreUnavailable.
    """
    keys = (f"om:{shard}:latest", *segments)
    latest, *frames = connect().call("EVAL", _SHARD, len(keys), *keys, since_ms, repeatable=True)
    return pairs(latest), {key: pairs(flat) for key, flat in zip(segments, frames, strict=True)}


def pack(value: Mapping[str, Any]) -> str:
    """A JSON object as short text: names and words repeat themselves from server to server."""
    text = json.dumps(value, separators=(",", ":"), allow_nan=False)
    return b2a_base64(zlib.compress(text.encode(), 6), newline=False).decode()


def unpack(text: str) -> dict[str, Any]:
    """What `pack` made this of."""
    value: dict[str, Any] = json.loads(zlib.decompress(a2b_base64(text)))
    return value


def place(identity: str) -> tuple[int, int]:
    """An id in an order that compares as Redis does."""
    ms, _, number = identity.partition("-")
    return int(ms), int(number)


def read_event(fields: Fields) -> dict[str, Any]:
    """The data of an event of om:feed."""
    data: dict[str, Any] = json.loads(fields["data"])
    return data
