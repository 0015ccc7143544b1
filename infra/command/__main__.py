"""`python -m infra.command COMMAND`, which is what `openmanager COMMAND` runs."""

import sys

from infra.command.main import main

if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
