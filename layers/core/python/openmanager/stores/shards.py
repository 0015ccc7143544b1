"""Servers are grouped into shards, each with keys of its own in Redis and a round of its own."""

from zlib import crc32

from openmanager.settings import settings


def shard_of(server: str) -> int:
    """The shard that a server belongs to."""
    return crc32(server.encode()) % settings().shards
