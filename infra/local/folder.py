"""The data folder: secrets made once, the credentials for people, and a lock against a second start."""

import fcntl
import json
import os
import secrets
from pathlib import Path
from typing import Any


class InUse(Exception):
    """Another start holds the folder. The message says which."""


class DataFolder:
    """A folder that belongs to one running stack at a time. Its files are for the owner only."""

    def __init__(self, path: Path) -> None:
        """Take the folder, making it where needed. Raises InUse, having changed nothing."""
        path.mkdir(mode=0o700, parents=True, exist_ok=True)
        self.path = path
        # The lock goes with the process that holds it, so nothing stale can be left behind:
        self._lock = os.open(path / "lock", os.O_RDWR | os.O_CREAT, 0o600)
        try:
            fcntl.flock(self._lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            holder = _read(path / "lock")
            os.close(self._lock)
            where = holder.get("url", "its address is not known yet")
            raise InUse(f"OpenManager already runs on {path}: {where} (process {holder.get('pid', '?')})") from None
        self.announce(None)

    def announce(self, url: str | None) -> None:
        """Say in the lock file who holds it, for whoever tries next."""
        text = json.dumps({"pid": os.getpid(), **({"url": url} if url else {})})
        os.ftruncate(self._lock, 0)
        os.pwrite(self._lock, text.encode(), 0)

    def close(self) -> None:
        """Let the folder go."""
        os.close(self._lock)

    def secret(self, name: str) -> str:
        """The secret of this name, made at the first call and kept in secrets.json."""
        known = _read(self.path / "secrets.json")
        if name not in known:
            known[name] = secrets.token_urlsafe(32)
            self.write("secrets.json", known)
        return str(known[name])

    def write(self, name: str, content: dict[str, Any]) -> Path:
        """A JSON file for the owner's eyes, complete or not there at all."""
        final, fresh = self.path / name, self.path / f"{name}.new"
        fresh.unlink(missing_ok=True)
        with open(os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as file:  # noqa: PTH123
            json.dump(content, file, indent=2)
            file.write("\n")
        fresh.rename(final)
        return final

    def remove(self, name: str) -> None:
        (self.path / name).unlink(missing_ok=True)


def _read(path: Path) -> dict[str, Any]:
    try:
        content: dict[str, Any] = json.loads(path.read_text())
    except (FileNotFoundError, ValueError):
        return {}
    return content
