"""`completion`: what makes bash, zsh and fish complete the command.

The scripts know nothing of the commands: at each TAB they call `openmanager completion words`, which reads the parsers
themselves, so that nothing is to be made anew when a command changes. Ids of servers and alerts are asked of the
installation, which has a second for it.
"""

import argparse
import os
import sys
from collections.abc import Callable, Iterator, Sequence

from openmanager.catalog import METRIC_KEYS
from openmanager.cli.exits import DONE, USAGE, explained

from infra.command.main import CHECKOUT
from infra.command.table import COMMANDS, subcommands
from infra.transfer.api import Api, Failed, locate, unsaid

_TIMEOUT_S = 1
# What a script is told where names of files are wanted.
FILES = ":files"
_OF_FILES = ("FILE", "FOLDER", ".csv", ".json", "file", "folder", "source")

_BASH = r"""# bash completion of openmanager:  eval "$(openmanager completion bash)"
_openmanager() {
  local IFS=$'\n' line
  local -a words=("${COMP_WORDS[@]:1:COMP_CWORD}")
  COMPREPLY=()
  for line in $("${COMP_WORDS[0]}" completion words -- "${words[@]}" 2>/dev/null); do
    line=${line%%$'\t'*}
    if [ "$line" = :files ]; then
      compopt -o filenames 2>/dev/null
      COMPREPLY=($(compgen -f -- "${COMP_WORDS[COMP_CWORD]}"))
      return
    fi
    COMPREPLY+=("$line")
  done
}
complete -F _openmanager openmanager ./openmanager
"""
_ZSH = r"""#compdef openmanager
# zsh completion of openmanager:  source <(openmanager completion zsh)
_openmanager() {
  local line
  local -a found
  for line in ${(f)"$(${words[1]} completion words -- "${(@)words[2,CURRENT]}" 2>/dev/null)"}; do
    if [[ $line == :files ]]; then
      _files
      return
    fi
    # A colon would end the word.
    found+=("${${line%%$'\t'*}//:/\\:}:${line#*$'\t'}")
  done
  _describe -V openmanager found
}
compdef _openmanager openmanager ./openmanager
"""
_FISH = r"""# fish completion of openmanager:  openmanager completion fish | source
function __openmanager_words
  set -l words (commandline -opc) (commandline -ct)
  set -l found ($words[1] completion words -- $words[2..-1] 2>/dev/null)
  if test "$found[1]" = :files
    __fish_complete_path (commandline -ct)
  else
    printf '%s\n' $found
  end
end
complete -c openmanager -f -a '(__openmanager_words)'
"""
SCRIPTS = {"bash": _BASH, "zsh": _ZSH, "fish": _FISH}


def arguments() -> argparse.ArgumentParser:
    """The parser."""
    parser = argparse.ArgumentParser(
        prog="openmanager completion",
        description="Prints what makes your shell complete commands, options and the ids of servers and alerts at TAB.",
        epilog="examples, for the file that your shell reads at its start:\n"
        '  eval "$(openmanager completion bash)"        ~/.bashrc\n'
        "  source <(openmanager completion zsh)         ~/.zshrc, after compinit\n"
        "  openmanager completion fish | source         ~/.config/fish/config.fish\n\n" + explained(DONE, USAGE),
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("shell", choices=tuple(SCRIPTS), help="yours")
    return parser


def main(argv: Sequence[str]) -> int:
    """The exit code."""
    # The script's own question, which is nobody's to type.
    if argv[:2] == ["words", "--"]:
        for word, about in words(argv[2:] or [""]):
            sys.stdout.write(f"{word}\t{about}\n" if about else f"{word}\n")
        return DONE
    sys.stdout.write(SCRIPTS[arguments().parse_args(argv).shell])
    return DONE


def words(typed: Sequence[str]) -> Iterator[tuple[str, str]]:
    """What the last of the words that were typed after `openmanager` may become, each with what it is."""
    *before, last = typed
    if not before:
        yield from _beginning(((c.name, c.summary) for c in COMMANDS.values()), last)
        return
    if before[0] not in COMMANDS:
        return
    parser, rest = _innermost(COMMANDS[before[0]].parser(), before[1:])
    yield from _beginning(_wanted(parser, rest, last), last)


def _beginning(candidates: Iterator[tuple[str, str]], last: str) -> Iterator[tuple[str, str]]:
    return (found for found in candidates if found[0].startswith(last) or found[0] == FILES)


def _innermost(parser: argparse.ArgumentParser, rest: Sequence[str]) -> tuple[argparse.ArgumentParser, Sequence[str]]:
    """The parser of the sub-command that was typed, and the words after it."""
    among = subcommands(parser)
    for i, word in enumerate(rest):
        if word in among:
            return _innermost(among[word], rest[i + 1 :])
    return parser, rest


def _wanted(parser: argparse.ArgumentParser, rest: Sequence[str], last: str) -> Iterator[tuple[str, str]]:
    options = {name: action for action in parser._actions for name in action.option_strings}
    before = options.get(rest[-1]) if rest else None
    if before is not None and before.nargs != 0:
        yield from _values(before)
    elif last.startswith("-"):
        for action in parser._actions:
            if action.help != argparse.SUPPRESS:
                yield from ((name, _about(action)) for name in action.option_strings if name.startswith("--"))
    else:
        yield from _positional(parser, options, rest)


def _positional(
    parser: argparse.ArgumentParser, options: dict[str, argparse.Action], rest: Sequence[str]
) -> Iterator[tuple[str, str]]:
    taken = 0
    for i, word in enumerate(rest):
        value_of = options.get(rest[i - 1]) if i else None
        taken += not word.startswith("-") and not (value_of is not None and value_of.nargs != 0)
    places = [action for action in parser._actions if not action.option_strings]
    if not places or (taken >= len(places) and places[-1].nargs not in ("+", "*")):
        return
    place = places[min(taken, len(places) - 1)]
    if isinstance(place, argparse._SubParsersAction):
        yield from ((choice.dest, choice.help or "") for choice in place._choices_actions)
        yield from ((name, "") for name in place.choices if not place._choices_actions)
    else:
        yield from _values(place)


def _values(action: argparse.Action) -> Iterator[tuple[str, str]]:
    kind = str(action.metavar or action.dest)
    if kind in ASKED:
        yield from ((name, "") for name in ASKED[kind]())
    elif action.choices is not None:
        yield from ((str(choice), "") for choice in action.choices)
    elif any(mark in kind for mark in _OF_FILES):
        yield FILES, ""


def _about(action: argparse.Action) -> str:
    return (action.help or "").partition(" (")[0].partition("%")[0]


def _servers() -> list[str]:
    answer = _asked("/api/servers")
    return [server["id"] for server in answer["servers"]] if answer else []


def _alerts() -> list[str]:
    answer = _asked("/api/alerts")
    return [f"{alert['server']}/{alert['rule']}" for alert in answer["alerts"]] if answer else []


def _incidents() -> list[str]:
    answer = _asked("/api/incidents")
    return [incident["id"] for incident in answer["incidents"]] if answer else []


def _silences() -> list[str]:
    answer = _asked("/api/silences")
    return [silence["id"] for silence in answer["silences"]] if answer else []


def _asked(path: str) -> dict[str, list[dict[str, str]]] | None:
    """What the installation answers, None where it does not: a TAB is no place for complaints."""
    try:
        url, token = locate("", "", os.environ, CHECKOUT)
        found: dict[str, list[dict[str, str]]] = Api(url, token, unsaid, timeout_s=_TIMEOUT_S).ask("GET", path)
    except Failed:
        return None
    return found


# By what help calls a value.
ASKED: dict[str, Callable[[], Sequence[str]]] = {
    "SERVER": _servers,
    "ALERT": _alerts,
    "INCIDENT": _incidents,
    "SILENCE": _silences,
    "METRIC": lambda: METRIC_KEYS,
}
