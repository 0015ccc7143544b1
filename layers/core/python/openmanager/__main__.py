"""`python -m openmanager COMMAND`."""

import sys

from openmanager.cli.main import main

if __name__ == "__main__":
    sys.exit(main())
