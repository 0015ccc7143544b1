"""Which stores: those of this machine, which are started for it unless they run, of a stage, or of the environment."""

import os
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

import psycopg
from openmanager.errors import InvalidSettings
from openmanager.stores.redis import Redis

from infra.aws import Aws, AwsRefused, region_of
from infra.backup import tables
from infra.doctor.finding import Finding, worst
from infra.doctor.place import NoPlace, Place, deployed, named_by, this_machine
from infra.doctor.postgres import reach as reach_postgres
from infra.doctor.redis import reach as reach_redis
from infra.doctor.rest import Rest
from infra.local.folder import DataFolder, InUse
from infra.local.postgres import Postgres
from infra.local.process import Child, StartFailed, free_port
from infra.local.stack import Upstash
from infra.transfer.api import Failed

# One answer may be a whole hash.
_REDIS_TIMEOUT_S = 60
_NEEDED = ("DATABASE_URL", "UPSTASH_REDIS_REST_URL", "UPSTASH_REDIS_REST_TOKEN")


@dataclass(frozen=True, slots=True)
class Stores:
    """Both stores of an installation, and into how many shards it is cut."""

    name: str
    postgres: psycopg.Connection
    redis: Redis
    shards: int


@contextmanager
def of_machine(data: Path, *, running: bool) -> Iterator[Place]:
    """The stack on a data folder, its stores started if it does not run; with `running` false it must not.

    Raises Failed.
    """
    if running and not (data / "postgres").is_dir():
        raise Failed(f"{data} has no data yet; name another folder by OPENMANAGER_DATA")
    try:
        folder = DataFolder(data)
    except OSError as fault:
        raise Failed(f"cannot use {data}: {fault.strerror or fault}") from None
    except InUse as fault:
        if not running:
            raise Failed(f"{fault}; stop it first with Ctrl-C") from None
        try:
            yield this_machine(data)
        except NoPlace:
            raise Failed(f"OpenManager is about to start or to stop on {data}; try again in a moment") from None
        return
    try:
        for name in ("valkey", "postgres"):
            Child(name, folder.path).stop_leftover()
        postgres = Postgres(folder.path, folder.secret("postgres_password"), free_port())
        upstash = Upstash(folder.path, durable=True)
        with ExitStack() as started:
            for part in (postgres, upstash):
                part.start()
                started.callback(part.stop)
            yield Place(f"this machine ({data})", _local(postgres, upstash))
    except StartFailed as fault:
        raise Failed(str(fault)) from None
    finally:
        folder.close()


def _local(postgres: Postgres, upstash: Upstash) -> dict[str, str]:
    return {
        "OPENMANAGER_STAGE": "local",
        "OPENMANAGER_SHARDS": os.environ.get("OPENMANAGER_SHARDS", ""),
        "DATABASE_URL": postgres.url,
        "UPSTASH_REDIS_REST_URL": upstash.url,
        "UPSTASH_REDIS_REST_TOKEN": upstash.token,
    }


@contextmanager
def of_stage(stage: str, region: str) -> Iterator[Place]:
    """A deployment on AWS. Raises Failed."""
    try:
        place = deployed(Aws(stage, region_of(region)))
    except AwsRefused as fault:
        raise Failed(f"{fault}; {fault.do}") from None
    yield place


@contextmanager
def of_environment(env: Mapping[str, str]) -> Iterator[Place]:
    """What variables name."""
    yield named_by(env)


@contextmanager
def opened(place: Place) -> Iterator[Stores]:
    """Connections to a place's stores, which answer. Raises Failed naming what is wrong and what to do."""
    if missing := [name for name in _NEEDED if not place.env.get(name)]:
        raise Failed(f"{', '.join(missing)}: needed and not set")
    url, redis_url, token = (place.env[name] for name in _NEEDED)
    shards = place.env.get("OPENMANAGER_SHARDS") or "1"
    if not (shards.isascii() and shards.isdecimal() and int(shards)):
        raise Failed(f"OPENMANAGER_SHARDS: {shards!r} is no number of shards")
    probe, found = reach_postgres(place)
    if probe:
        probe.close()
    _demand(found)
    rest = Rest(redis_url, token)
    try:
        _demand(reach_redis(rest))
    finally:
        rest.close()
    try:
        redis = Redis(redis_url, token, _REDIS_TIMEOUT_S)
    except InvalidSettings as fault:
        raise Failed(str(fault)) from None
    try:
        with tables.connect(url) as connection:
            yield Stores(place.name, connection, redis, int(shards))
    finally:
        redis.close()


def _demand(findings: list[Finding]) -> None:
    if fault := worst(findings):
        raise Failed(f"{fault.check}: {fault.what}; {fault.do}")
