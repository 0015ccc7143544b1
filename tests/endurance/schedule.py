"""infra.local.schedule as it is, telling how long each run took: `python -m tests.endurance.schedule`."""

import logging

from infra.local.schedule import log, main

if __name__ == "__main__":
    log.setLevel(logging.DEBUG)
    main()
