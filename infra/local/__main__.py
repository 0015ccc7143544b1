"""`python -m infra.local up`: OpenManager on this machine."""

import argparse
import json
import os
import sys
import time
from collections.abc import Sequence
from pathlib import Path

from openmanager.cli.exits import DONE, FAILED, USAGE, explained

from infra.administrator import NAME, first_administrator
from infra.local import replay
from infra.local.folder import DataFolder, InUse
from infra.local.process import StartFailed, say
from infra.local.supervisor import CHECKOUT, Stopped, Supervisor, listen_for_stop
from infra.serverless import Unsupported, read_service

EXAMPLES = """examples:
  openmanager up
  openmanager up --no-agent --replay
  PORT=8080 openmanager up --host 0.0.0.0

"""
ENVIRONMENT = """environment:
  PORT                    the gateway's port; the next free one is taken if it is in use (8000)
  OPENMANAGER_DATA        the data folder (.openmanager in the checkout)
  OPENMANAGER_API_KEY     the first administrator's key (made at the first start)
  OPENMANAGER_LOG_LEVEL   how much the parts write into its logs/ (INFO)

"""
RECORDING = CHECKOUT / "infra" / "local" / "recordings" / "host.csv"


def up(options: argparse.Namespace) -> int:
    """Start, watch, stop. 0 after a wanted stop, 1 when it could not start."""
    began = time.monotonic()
    wanted = os.environ.get("PORT") or "8000"
    if not wanted.isdecimal() or not 0 < int(wanted) < 65536:
        say(f"PORT: {wanted!r} is not a number from 1 to 65535")
        return 1
    try:
        service = read_service(options.service)
        folder = DataFolder(options.data)
    except (InUse, Unsupported, OSError) as error:
        say(str(error))
        return 1
    say(f"OpenManager starts; its data is in {folder.path}")
    supervisor = None
    try:
        listen_for_stop()
        supervisor = Supervisor(folder, service, options.service, options.host, int(wanted))
        supervisor.start(agent=not options.no_agent)
        welcome(folder, supervisor, time.monotonic() - began)
        if options.replay is not None:
            supervisor.replay(options.replay)
        supervisor.watch()
    except Stopped:
        say("\nstopping …")
    except StartFailed as failure:
        say(f"\n{failure}\n\nOpenManager did not start; logs are in {folder.path / 'logs'}")
        return 1
    finally:
        if supervisor is not None:
            supervisor.stop()
        folder.close()
        say("stopped; the data stays where it is")
    return 0


def welcome(folder: DataFolder, supervisor: Supervisor, seconds: float) -> None:
    """Write credentials.json and say how to go on."""
    url, key = supervisor.url, supervisor.api_key
    password = first_administrator(url, key, folder.secret("admin_password"))
    written = folder.write("credentials.json", {"url": url, "token": key, "user": NAME, "password": password})
    say(f"""
OpenManager answers at {url} after {seconds:.1f} s

  log in    {NAME} / {password or "(as you changed it)"}
            (kept in {written})
  try       curl -H "Authorization: Bearer {key}" {url}/api/servers
  stop      Ctrl-C
""")


def demo(options: argparse.Namespace) -> int:
    """Replay recorded servers into the stack that runs on the data folder."""
    try:
        known = json.loads((options.data / "credentials.json").read_text())
    except (OSError, ValueError):
        say(f"nothing runs on {options.data}: `make run` first")
        return 1
    options.url, options.token = known["url"], known["token"]
    return replay.run(options)


def arguments() -> argparse.ArgumentParser:
    data = Path(os.environ.get("OPENMANAGER_DATA") or CHECKOUT / ".openmanager").absolute()
    parser = argparse.ArgumentParser(
        prog="openmanager",
        description="OpenManager on this machine.",
    )
    commands = parser.add_subparsers(required=True, metavar="COMMAND")
    start = commands.add_parser(
        "up",
        help="start everything, until Ctrl-C",
        description="Starts everything on this machine, until Ctrl-C. It prints its address and a login,\n"
        "which are also in credentials.json of the data folder while it runs.",
        epilog=EXAMPLES + ENVIRONMENT + explained(DONE, FAILED, USAGE),
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    start.set_defaults(run=up)
    start.add_argument("--no-agent", action="store_true", help="do not watch this machine")
    start.add_argument("--replay", nargs="*", metavar="FILE", help="also replay recorded servers (ours, without FILE)")
    start.add_argument("--host", default="127.0.0.1", help="address to listen on (default: %(default)s)")
    start.add_argument("--service", type=Path, default=CHECKOUT / "serverless.yml", help=argparse.SUPPRESS)
    start.set_defaults(data=data)
    play = commands.add_parser(
        "demo",
        help="replay recorded servers into the running stack",
        description="Pushes recorded servers into what runs on the data folder, as if their recording ended now.",
        epilog="examples:\n  openmanager demo\n  openmanager demo web-01.csv --last 60 --follow\n\n"
        + explained(DONE, FAILED, USAGE),
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    play.add_argument("files", nargs="*", type=Path, default=[RECORDING], metavar="FILE", help=".csv or .npz (ours)")
    replay.add_options(play)
    play.set_defaults(run=demo, data=data)
    return parser


def main(argv: Sequence[str] | None = None) -> int:
    """The exit code."""
    options = arguments().parse_args(argv)
    result: int = options.run(options)
    return result


if __name__ == "__main__":
    sys.exit(main())
