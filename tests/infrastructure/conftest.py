"""serverless.yml packed once for all tests, as it is deployed: each stage for each architecture, and what may be on."""

from collections.abc import Callable, Iterator
from functools import cache
from pathlib import Path

import pytest

from tests import osls
from tests.osls import Packed

Pack = Callable[..., Packed]
STAGES = ("dev arm64", "dev x86_64", "prod arm64", "prod x86_64")


@pytest.fixture(scope="session")
def service(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The service in a folder of its own."""
    if reason := osls.missing():
        pytest.skip(reason)
    folder = tmp_path_factory.mktemp("osls") / "service"
    osls.lay_out(folder)
    return folder


@pytest.fixture(scope="session")
def pack(service: Path) -> Iterator[Pack]:
    """Packs the stage and architecture of this name, with more parameters if there are any; each once."""
    with osls.no_stack() as endpoint:

        @cache
        def once(name: str, **more: str) -> Packed:
            stage, arch = name.split()
            out = service.parent / "-".join([stage, arch, *more])
            return osls.package(service, out, endpoint, stage, {"arch": arch, "mail": "ops@example.com", **more})

        yield once


@pytest.fixture(scope="session", params=STAGES)
def packed(pack: Pack, request: pytest.FixtureRequest) -> Packed:
    """Each stage for each architecture in turn."""
    return pack(request.param)


@pytest.fixture(scope="session")
def prod(pack: Pack) -> Packed:
    return pack("prod arm64")


@pytest.fixture(scope="session")
def from_snapshots(pack: Pack) -> Packed:
    return pack("prod arm64", snapStart="true", oidc="on")


@pytest.fixture(scope="session")
def kept_warm(pack: Pack) -> Packed:
    return pack("prod arm64", warm="2", memory="1024", archive="60 minutes")
