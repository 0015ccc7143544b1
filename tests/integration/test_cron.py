"""The doors of schedulers outside the cloud's own: closed without the secret, and the same by POST and by GET."""

import json

import pytest
from openmanager.errors import InvalidSettings
from openmanager.settings import read_settings, settings

from functions.archive.handler import handler as archive
from functions.cron.handler import handler as cron
from tests.conftest import API_KEY
from tests.events import Context, invoke

SECRET = "what-the-schedulers-know-0123456789"
DOORS = [(method, path) for method in ("GET", "POST") for path in ("/api/tick", "/api/archive")]


@pytest.fixture
def deployed(stores_env: dict[str, str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OPENMANAGER_STAGE", "prod")
    monkeypatch.setenv("CRON_SECRET", SECRET)
    settings.cache_clear()


@pytest.mark.parametrize(("method", "path"), DOORS)
def test_a_door_opens_to_the_secret_alone(method: str, path: str, deployed: None) -> None:
    for key in (None, "", "wrong", API_KEY, SECRET[:-1]):
        assert invoke(cron, method, path, key=key).status == 401
    reply = invoke(cron, method, path, key=SECRET)
    assert reply.status == 200
    assert reply.headers["cache-control"] == "no-store"


def test_without_a_secret_every_door_is_closed(stores_env: dict[str, str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OPENMANAGER_STAGE", "prod")
    settings.cache_clear()
    for method, path in DOORS:
        for key in (None, "", API_KEY):
            assert invoke(cron, method, path, key=key).status == 401


def test_a_get_takes_the_minute_as_a_post_does(deployed: None) -> None:
    first = invoke(cron, "GET", "/api/tick", key=SECRET).json()
    second = invoke(cron, "POST", "/api/tick", key=SECRET).json()
    assert not first["held"]
    # Within the same minute, unless it ended in between:
    assert second["held"] or second["minute"] > first["minute"]


def test_the_archive_by_address_answers_as_the_schedule_s_does(deployed: None) -> None:
    reply = invoke(cron, "GET", "/api/archive", key=SECRET).json()
    assert reply == json.loads(json.dumps(archive({}, Context())))
    assert reply["records"] == {"rebuilt": [], "waiting": 0, "hopeless": []}


@pytest.mark.parametrize("name", ["CRON_SECRET", "OPENMANAGER_CRON_SECRET"])
def test_either_name_of_the_secret_is_taken_and_a_short_one_refused_by_its_name(name: str) -> None:
    env = {"OPENMANAGER_API_KEY": API_KEY}
    assert read_settings({**env, name: SECRET}).cron_secret == SECRET
    with pytest.raises(InvalidSettings, match=f"^{name}: needs"):
        read_settings({**env, name: "short"})


def test_two_secrets_that_differ_are_a_mistake_and_are_not_repeated() -> None:
    env = {"OPENMANAGER_API_KEY": API_KEY, "CRON_SECRET": SECRET}
    assert read_settings({**env, "OPENMANAGER_CRON_SECRET": SECRET}).cron_secret == SECRET
    with pytest.raises(InvalidSettings, match=r"^CRON_SECRET: is not the same") as refused:
        read_settings({**env, "OPENMANAGER_CRON_SECRET": SECRET + "!"})
    assert SECRET not in json.dumps(str(refused.value))
