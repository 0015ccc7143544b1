"""Whatever Schemathesis can make of the API's description is answered as the description says (tests/contract)."""

import json
from collections.abc import Callable

import pytest

from infra import openapi
from infra.local.process import free_port
from tests.contract import run as contract

# What fits in two minutes; `python -m tests.bench contract` goes on longer, with other cases each time.
BOUNDED = ("--seed", "1", "--generation-deterministic", "--max-examples", "5")


def test_every_answer_is_a_documented_one_and_nothing_invalid_is_accepted(
    tmp_path_factory: pytest.TempPathFactory, record_property: Callable[[str, object], None]
) -> None:
    folder = tmp_path_factory.mktemp("contract")
    stack = contract.stack(folder, free_port())
    stack.start()
    try:
        outcome = contract.run(stack, folder, *BOUNDED)
    finally:
        stack.stop()
    record_property("told", outcome.line)
    assert outcome.passed, outcome.said
    described = json.loads(openapi.TARGET.read_text())["paths"].values()
    assert outcome.operations == sum(len(operations) for operations in described)
