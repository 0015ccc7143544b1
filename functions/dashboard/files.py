"""The dashboard's files: read once, packed once, under a version that is a hash over all of them.

`static/` works as it lies there on any static host. Here the page's `./` becomes `assets/<version>/`, so that browsers
may keep everything but the page for good, and comments stay at home: a tenth of what a first visit loads.
"""

import gzip
import os
import re
from functools import lru_cache
from hashlib import sha256
from pathlib import Path

from openmanager.errors import NotFound
from openmanager.settings import live_url
from openmanager.values import frozen
from openmanager.web import Response
from openmanager.web.caching import holds
from starlette.datastructures import Headers

STATIC = Path(__file__).parent / "static"
PAGE = "index.html"
# What the page may do, in every browser that opens it: load from here, and neither write HTML from text nor be framed.
POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; font-src 'self';"
    " connect-src 'self'; manifest-src 'self'; base-uri 'none'; form-action 'self'; frame-ancestors 'none';"
    " require-trusted-types-for 'script'; trusted-types 'none'"
)
_TYPES = {
    ".html": "text/html; charset=utf-8",
    ".css": "text/css; charset=utf-8",
    ".js": "text/javascript; charset=utf-8",
    ".json": "application/json",
    ".txt": "text/plain; charset=utf-8",
}
# Whole lines of them, outside of what others wrote; empty lines keep the numbers of the rest.
_COMMENTS = re.compile(rb"^[ \t]*(?://.*|/\*[\s\S]*?\*/[ \t]*)$", re.MULTILINE)
_COMMENTED = (".js", ".css")
_OPENING = b'<html lang="en"'
_THEIRS = "vendor/"
_FOR_GOOD = "public, max-age=31536000, immutable"
# Kept, but asked for anew each time.
_ASK_ANEW = "no-cache"


@frozen
class File:
    """A file as it is sent, plain and packed."""

    media_type: str
    plain: bytes
    packed: bytes
    etag: str


class Folder:
    """All files, by their path below `static`. Nothing is read from disk for a request, so no path leads out of it.

    The page is told where the feed streams (`live`) if that is another address than its own, and may connect there.
    """

    def __init__(self, root: Path, live: str = "") -> None:
        found = {
            path.relative_to(root).as_posix(): path.read_bytes()
            for path in sorted(root.rglob("*"))
            if path.suffix in _TYPES
        }
        whole = sha256()
        for name, content in found.items():
            whole.update(f"{name}\0{len(content)}\0".encode() + content)
        self.version = whole.hexdigest()[:12]
        for name, content in found.items():
            if name.endswith(_COMMENTED) and not name.startswith(_THEIRS):
                found[name] = _COMMENTS.sub(lambda comment: b"\n" * comment[0].count(b"\n"), content)
        found[PAGE] = found[PAGE].replace(b'"./', f'"assets/{self.version}/'.encode())
        self._policy = POLICY
        if live:
            found[PAGE] = found[PAGE].replace(_OPENING, f'{_OPENING.decode()} data-live="{live}"'.encode())
            self._policy = POLICY.replace("connect-src 'self'", f"connect-src 'self' {live}")
        self._files = {name: _file(_TYPES[Path(name).suffix], content) for name, content in found.items()}

    def of(self, version: str) -> "Folder":
        """Itself, if that is its version. Raises NotFound."""
        if version != self.version:
            raise NotFound("this version of the dashboard is not here any more; load the page again")
        return self

    def answer(self, path: str, headers: Headers) -> Response:
        """A file, or that it is still the same. Raises NotFound."""
        file = self._files.get(path)
        if file is None:
            raise NotFound(f"no file {path[:128]!r} here")
        told = {"ETag": file.etag, "Vary": "Accept-Encoding", "Cache-Control": _FOR_GOOD}
        if path == PAGE:
            told |= {"Cache-Control": _ASK_ANEW, "Content-Security-Policy": self._policy}
        told["Content-Type"] = file.media_type
        if holds(headers, file.etag):
            return Response(status_code=304, headers=told)
        if "gzip" in headers.get("accept-encoding", ""):
            return Response(file.packed, headers=told | {"Content-Encoding": "gzip"})
        return Response(file.plain, headers=told)


def _file(media_type: str, content: bytes) -> File:
    # Packed without the time, or the same files would have other bytes in each process. The tag is that of both.
    return File(media_type, content, gzip.compress(content, 9, mtime=0), f'W/"{sha256(content).hexdigest()[:20]}"')


@lru_cache(maxsize=1)
def folder() -> Folder:
    """The files of this deployment."""
    return Folder(STATIC, live_url(os.environ))
