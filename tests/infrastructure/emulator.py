"""moto's server, run by .venv-infrastructure: it says its address and goes on until its input ends."""

import logging
import sys
import warnings
from typing import Any

import moto.cloudformation.models
import moto.cloudformation.utils
from moto.server import ThreadedMotoServer


def no_findings(*_: Any) -> list[Any]:
    """It refuses a template for what is a warning only; cfn-lint is asked apart from it (test_template.py)."""
    return []


def main() -> None:
    for module in (moto.cloudformation.utils, moto.cloudformation.models):
        module.validate_template_cfn_lint = no_findings  # type: ignore[attr-defined]
    # It warns of each type that it does not know, which the test counts by itself.
    logging.disable(logging.WARNING)
    warnings.simplefilter("ignore")
    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    server.start()
    sys.stdout.write("http://{}:{}\n".format(*server.get_host_and_port()))
    sys.stdout.flush()
    sys.stdin.read()
    server.stop()


if __name__ == "__main__":
    main()
