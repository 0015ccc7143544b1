"""What is distributed may be: our licence is whole, and those of what we load at run time go with it."""

import re
import tomllib
from collections.abc import Iterator
from importlib.metadata import PackageNotFoundError, distribution, requires

from tests.documents import ROOT

# LGPL: an unchanged library that is installed beside, and may be replaced (docs/architecture.md, Licences).
ALLOWED = re.compile(r"MIT|BSD|Apache|PSF|Python Software Foundation|MPL|Mozilla|Public domain|NumPy Developers", re.I)
ALLOWED_FOR = {"psycopg": "LGPL-3.0-only", "psycopg-binary": "LGPL-3.0-only"}


def declared(name: str) -> str:
    """The licence that a distribution states, in whichever of the three places it states it."""
    about = distribution(name).metadata
    classifiers = [c for c in about.get_all("Classifier") or [] if c.startswith("License")]
    text = about["License"].partition("\n")[0] if "License" in about else ""
    return about["License-Expression"] if "License-Expression" in about else f"{text} {' '.join(classifiers)}".strip()


def loaded() -> Iterator[str]:
    """All that functions and `make run` load, with what that needs in turn, as far as it is installed here."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())
    groups = project["dependency-groups"]
    wanted = [*project["project"]["dependencies"]]
    wanted += [need for group in ("mcp", "local", "crypto") for need in groups[group] if isinstance(need, str)]
    wanted.append("psycopg-binary")  # the extra that we ask psycopg for
    seen: set[str] = set()
    while wanted:
        need = wanted.pop()
        name = re.split(r"[^\w.-]", need, maxsplit=1)[0].lower().replace("_", "-")
        extra = "extra ==" in need
        if name in seen or extra:
            continue
        seen.add(name)
        try:
            wanted += requires(name) or []
        except PackageNotFoundError:
            continue
        yield name


def test_whatever_is_loaded_may_go_with_ours() -> None:
    licences = {name: declared(name) for name in loaded()}
    assert {"fastapi", "psycopg", "pydantic", "numpy"} <= licences.keys()
    refused = {
        name: licence
        for name, licence in licences.items()
        if licence != ALLOWED_FOR.get(name) and not ALLOWED.search(licence)
    }
    assert refused == {}


def test_ours_is_whole_and_named() -> None:
    text = (ROOT / "LICENSE").read_text()
    assert text.split()[:4] == ["Apache", "License", "Version", "2.0,"]
    assert "9. Accepting Warranty or Additional Liability" in text
    assert "Copyright 2026 The OpenManager authors" in text
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    assert (project["license"], project["license-files"]) == ("Apache-2.0", ["LICENSE"])
