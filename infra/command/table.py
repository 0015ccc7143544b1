"""Every command: its group, its line of help, and the module that has it. The standard library alone is imported."""

import argparse
import importlib
from collections.abc import Sequence
from dataclasses import dataclass

GROUPS = {
    "run": "Run it on this machine",
    "ask": "Ask an installation that runs",
    "act": "Take care of alerts, let people and programs in",
    "data": "Take data out and in, try models on your own",
    "operate": "Operate a deployment",
    "shell": "This command itself",
}


@dataclass(frozen=True)
class Command:
    """A command. `module` has `arguments()`, its parser, and `main(argv)`, its exit code.

    Where a module has several, its parser has them as sub-commands, and their names come first in `argv`: `whole` is
    False for those.
    """

    name: str
    group: str
    summary: str
    module: str
    whole: bool = False

    def main(self, argv: Sequence[str]) -> int:
        """Run it; the exit code. Raises SystemExit where the command line is wrong or help was asked for."""
        code: int = importlib.import_module(self.module).main(list(argv) if self.whole else [self.name, *argv])
        return code

    def parser(self) -> argparse.ArgumentParser:
        """Its own parser, for help and completion."""
        parser: argparse.ArgumentParser = importlib.import_module(self.module).arguments()
        return parser if self.whole else subcommands(parser)[self.name]


def subcommands(parser: argparse.ArgumentParser) -> dict[str, argparse.ArgumentParser]:
    """The parsers of a parser's sub-commands by their names; none if it has none."""
    for action in parser._actions:
        if isinstance(action, argparse._SubParsersAction):
            return dict(action.choices)
    return {}


COMMANDS = {
    command.name: command
    for command in (
        Command("up", "run", "start everything, until Ctrl-C", "infra.local.__main__"),
        Command("demo", "run", "replay recorded servers into what runs", "infra.local.__main__"),
        Command("doctor", "run", "say what is wrong with it, and what to do", "infra.doctor.__main__", whole=True),
        Command("status", "ask", "the fleet at a glance: counts, the worst, alerts, ourselves", "infra.command.fleet"),
        Command("servers", "ask", "every server, worst first", "infra.command.fleet"),
        Command("server", "ask", "one server: values, prediction, alerts", "infra.command.fleet"),
        Command("metrics", "ask", "a server's metric over time", "infra.command.past"),
        Command("predictions", "ask", "what is likely to fail next, and when", "infra.command.ahead"),
        Command("prediction", "ask", "the whole verdict on a server", "infra.command.ahead"),
        Command("record", "ask", "what predictions were worth", "infra.command.past"),
        Command("bill", "ask", "what this month has cost, and is going to", "infra.command.past"),
        Command("ask", "ask", "a question in words, in English or Korean", "infra.command.question"),
        Command("follow", "ask", "the live feed, as it comes", "infra.command.live"),
        Command("alerts", "act", "what is wrong, and who takes care", "infra.command.alerts"),
        Command("incidents", "act", "alerts that belong together", "infra.command.alerts"),
        Command("report", "act", "what happened in an incident, as Markdown", "infra.command.alerts"),
        Command("ack", "act", "take care of an alert", "infra.command.alerts"),
        Command("silence", "act", "tell nobody for a while", "infra.command.alerts"),
        Command("silences", "act", "silences that have not ended", "infra.command.alerts"),
        Command("users", "act", "people who can log in: list, add, remove", "infra.command.access"),
        Command("keys", "act", "API keys of programs: list, add, revoke", "infra.command.access"),
        Command("export", "data", "write history to CSV or Parquet", "infra.transfer.__main__"),
        Command("import", "data", "send such files through the ingest door", "infra.transfer.__main__"),
        Command("backup", "data", "write all that an installation knows to one file", "infra.backup.__main__"),
        Command("restore", "data", "put such a file back", "infra.backup.__main__"),
        Command("audit", "data", "fetch the audit log, find what was done to it", "infra.transfer.audit", whole=True),
        Command("evaluate", "data", "score a recording of your own with the models", "openmanager.cli.main"),
        Command("replay", "data", "say what a recording would have paged", "openmanager.cli.main"),
        Command("cost", "data", "estimate a month's bill of a fleet", "openmanager.cli.main"),
        Command("deploy", "operate", "deploy to AWS, and see that it works", "infra.deploy.__main__", whole=True),
        Command("remove", "operate", "remove that from AWS again", "infra.deploy.remove", whole=True),
        Command("seal", "operate", "encrypt notification secrets", "infra.transfer.seal", whole=True),
        Command("mcp", "operate", "speak MCP over stdin and stdout", "openmanager.cli.main"),
        Command("completion", "shell", "what makes your shell complete it", "infra.command.completion", whole=True),
    )
}
