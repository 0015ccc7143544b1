"""The audit log's chain of hashes: how a row is bound to the one before, and finding the first that is not. Pure."""

from openmanager.audit.chain import START, Broken, Head, digest, row_hash, verify

__all__ = ["START", "Broken", "Head", "digest", "row_hash", "verify"]
