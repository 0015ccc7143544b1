"""The dashboard's files: how they are served, and that they are what they say they are."""

import gzip
import json
import re
import shutil
from hashlib import sha256
from pathlib import Path

import pytest
from openmanager.errors import InvalidSettings
from openmanager.settings import live_url

from functions.dashboard.files import PAGE, STATIC, Folder, folder
from functions.dashboard.handler import handler
from tests.events import Reply, invoke

ROOT = Path(__file__).parents[2]

# As the design has it, word for word; nothing may be added to it in passing.
POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; font-src 'self'; "
    "connect-src 'self'; manifest-src 'self'; base-uri 'none'; form-action 'self'; frame-ancestors 'none'; "
    "require-trusted-types-for 'script'; trusted-types 'none'"
)
MODULES = sorted(path for path in STATIC.rglob("*.js") if "vendor" not in path.parts)
IMPORTED = re.compile(r"""(?:from|import\()\s*["'](\.[^"'$]+)["']""")
HANGUL = re.compile(r"[\u1100-\u11ff\u3130-\u318f\uac00-\ud7af]")
BUDGET_BYTES = 75 * 1024
MOST_REQUESTS = 20


def get(path: str, **headers: str) -> Reply:
    return invoke(handler, "GET", path, headers=headers)


def assets() -> list[str]:
    return re.findall(r'"(assets/[^"]+)"', get("/").body.decode())


def test_the_page_says_what_it_may_do_and_is_asked_for_anew_each_time() -> None:
    page = get("/")
    assert page.status == 200
    assert page.headers["content-type"] == "text/html; charset=utf-8"
    assert page.headers["content-security-policy"] == POLICY
    assert page.headers["cache-control"] == "no-cache"
    assert page.headers["x-content-type-options"] == "nosniff"


LIVE = "https://abc123.lambda-url.eu-central-1.on.aws"


def test_where_the_feed_streams_elsewhere_the_page_is_told_and_may_connect_there(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    plain, tag = get("/").body.decode(), get("/").headers["etag"]
    monkeypatch.setenv("OPENMANAGER_LIVE_URL", f"{LIVE}/")
    folder.cache_clear()
    try:
        page = get("/")
        other = get("/", **{"if-none-match": tag})
    finally:
        monkeypatch.undo()
        folder.cache_clear()
    assert page.body.decode() == plain.replace('<html lang="en"', f'<html lang="en" data-live="{LIVE}"')
    connects = page.headers["content-security-policy"].replace(f"connect-src 'self' {LIVE};", "connect-src 'self';")
    assert connects == POLICY != page.headers["content-security-policy"]
    # Who has the page of before is given this one.
    assert other.status == 200
    assert get("/").body.decode() == plain


@pytest.mark.parametrize(
    "wrong", ["live", 'https://x" onload="', "https://a.example; script-src *", "https://a.b/path"]
)
def test_what_is_no_address_never_comes_into_the_page(wrong: str) -> None:
    with pytest.raises(InvalidSettings, match="OPENMANAGER_LIVE_URL"):
        live_url({"OPENMANAGER_LIVE_URL": wrong})


def test_the_page_obeys_its_policy_no_script_or_style_stands_in_it() -> None:
    page = get("/").body.decode()
    assert not re.search(r"<script(?![^>]*\bsrc=)|<style|\bstyle=|\bon\w+=|javascript:", page)
    assert 'lang="' in page


def test_all_that_the_page_asks_for_is_there_and_kept_for_good() -> None:
    names = assets()
    assert len(names) > 5
    for name in names:
        asset = get(f"/{name}")
        assert (asset.status, asset.headers["cache-control"]) == (200, "public, max-age=31536000, immutable"), name


def test_what_has_not_changed_is_not_sent_again() -> None:
    for path in ("/", f"/{assets()[0]}"):
        tag = get(path).headers["etag"]
        again = get(path, **{"if-none-match": f'W/"other", {tag}'})
        assert (again.status, again.body, again.headers["etag"]) == (304, b"", tag)
        assert get(path, **{"if-none-match": '"other"'}).status == 200


def test_files_are_packed_for_whom_takes_that_twice_alike() -> None:
    plain = get("/")
    first, second = (get("/", **{"accept-encoding": "gzip, br"}) for _ in range(2))
    assert first.headers["content-encoding"] == "gzip"
    assert first.headers["vary"] == "Accept-Encoding"
    assert gzip.decompress(first.body) == plain.body
    assert first == second
    assert "content-encoding" not in plain.headers


def test_another_version_is_not_there() -> None:
    gone = get("/assets/000000000000/app.js")
    assert gone.status == 404
    assert gone.headers["cache-control"] == "no-store"


@pytest.mark.parametrize(
    "trick",
    [
        "nothing.js",
        "",
        "../handler.py",
        "..%2fhandler.py",
        "lib/../../files.py",
        "/etc/passwd",
        "lib//api.js",
        "lib/./api.js",
        "lib\\api.js",
        "APP.JS",
        "app.js\x00",
        "index.html/",
    ],
)
def test_no_path_leads_to_anything_else(trick: str) -> None:
    version = assets()[0].split("/")[1]
    assert get(f"/assets/{version}/{trick}").status == 404


def test_a_changed_file_makes_another_version_and_leaves_the_page_s_own_addresses_alone(tmp_path: Path) -> None:
    shutil.copytree(STATIC, tmp_path / "static")
    before = Folder(tmp_path / "static")
    assert before.version == Folder(STATIC).version
    (tmp_path / "static/app.css").write_text("a {}")
    assert Folder(tmp_path / "static").version != before.version


def test_on_a_plain_static_host_every_address_is_relative_and_leads_to_a_file() -> None:
    page = (STATIC / PAGE).read_text()
    addresses = [address for address in re.findall(r'(?:href|src)="([^"]+)"', page) if not address.startswith("data:")]
    assert [a for a in addresses if not (STATIC / a).is_file()] == ["api/docs"]
    assert [a for a in addresses if not a.startswith("./")] == ["api/docs"]


def test_every_import_leads_to_a_file() -> None:
    wrong = [
        f"{module.relative_to(STATIC)}: {address}"
        for module in MODULES
        for address in IMPORTED.findall(module.read_text())
        if not (module.parent / address).is_file()
    ]
    assert wrong == []


def cold() -> set[str]:
    """What a first visit to the overview loads in one language: all that is imported from the start, and charts."""
    found = {"index.html", "theme.js", "app.css", "lib/ko.js", "vendor/uplot.js"}
    # The alerts beside the overview come as soon as it is clear that there is room for them.
    waiting = ["app.js", "views/alert-rows.js"]
    while waiting:
        name = waiting.pop()
        found.add(name)
        text = (STATIC / name).read_text()
        for address in re.findall(r"""^import [^;]*?["'](\.[^"']+)["'];""", text, re.MULTILINE):
            path = (STATIC / name).parent.joinpath(address).resolve().relative_to(STATIC).as_posix()
            if path not in found | set(waiting):
                waiting.append(path)
    return found


def test_a_first_visit_loads_little_in_few_requests() -> None:
    version = assets()[0].split("/")[1]
    sizes = {
        name: len(get("/" if name == PAGE else f"/assets/{version}/{name}", **{"accept-encoding": "gzip"}).body)
        for name in cold()
    }
    # And three more for the fleet, the feed and what is ahead.
    assert len(sizes) + 3 <= MOST_REQUESTS, sorted(sizes)
    assert sum(sizes.values()) <= BUDGET_BYTES, sizes


def test_comments_stay_at_home_and_nothing_else_does() -> None:
    version = assets()[0].split("/")[1]
    for module in [*MODULES, *STATIC.glob("*.css")]:
        name = module.relative_to(STATIC).as_posix()
        kept, sent = module.read_text().split("\n"), get(f"/assets/{version}/{name}").body.decode().split("\n")
        assert len(kept) == len(sent), name
        gone = [line.strip() for line, other in zip(kept, sent, strict=True) if line != other]
        assert not [line for line in gone if line and not line.startswith(("//", "/*", "*")) and "*/" not in line], name
        assert not [line for line in sent if line.strip().startswith(("//", "/*"))], name


_LICENCES = {"MIT": "MIT License", "Apache-2.0": "Apache License", "MPL-2.0": "Mozilla Public License, version 2.0"}


@pytest.mark.parametrize("vendor", [STATIC / "vendor", ROOT / "tests/browser/vendor"], ids=["served", "for tests"])
def test_vendored_files_are_those_of_the_manifest_with_their_licences(vendor: Path) -> None:
    manifest = json.loads((vendor / "manifest.json").read_text())
    assert {path.name for path in vendor.glob("*.js")} == set(manifest)
    for name, said in manifest.items():
        assert sha256((vendor / name).read_bytes()).hexdigest() == said["sha256"], name
        for package in said.get("of", {}).values():
            licence = (vendor / package["text"]).read_text()
            assert _LICENCES[package["license"]] in licence


def test_no_text_becomes_code_or_html() -> None:
    forbidden = re.compile(
        r"\.(inner|outer)HTML|insertAdjacentHTML|\beval\(|new Function|document\.write|setAttribute\(\"style"
    )
    assert [str(module) for module in MODULES if forbidden.search(module.read_text())] == []


def keys(dictionary: Path) -> list[str]:
    return re.findall(r'^  "([^"]+)":', dictionary.read_text(), re.MULTILINE)


@pytest.mark.parametrize(
    "folder", sorted({path.parent for path in MODULES if path.name == "ko.js"}), ids=lambda p: p.name
)
def test_both_languages_have_the_same_words_each_once(folder: Path) -> None:
    korean, english = keys(folder / "ko.js"), keys(folder / "en.js")
    assert sorted(korean) == sorted(english)
    assert len(set(korean)) == len(korean)


def test_every_word_that_is_asked_for_is_in_a_dictionary() -> None:
    known = {key for path in MODULES if path.name == "en.js" for key in keys(path)}
    asked = {
        (module.name, key)
        for module in MODULES
        for key in re.findall(r"""(?<![\w.])t\("([\w.-]+)\"""", module.read_text())
    }
    assert sorted(f"{name}: {key}" for name, key in asked if key not in known) == []


def test_korean_stands_in_its_dictionary_only() -> None:
    files = [p for p in STATIC.rglob("*") if p.suffix in (".js", ".css", ".html") and p.name != "ko.js"]
    # But for the language's own name, by which those find it who read no other.
    written = {path: re.sub(r'"language\.ko": ".*"', "", path.read_text()) for path in files}
    assert [str(path) for path, text in written.items() if HANGUL.search(text)] == []
