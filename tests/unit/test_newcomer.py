"""The script that walks the first hour types what the page says, all of it and in its order."""

from tests.documents import ROOT, blocks
from tests.newcomer import PAGE, STEPS, cpu_is

SHELL = [block for block in blocks(ROOT / PAGE) if block.language == "sh"]


def test_every_step_is_on_the_page_and_every_block_is_a_step() -> None:
    first, *rest = SHELL
    assert first.begins.startswith("git clone")
    steps = [[block.line for block in rest if block.begins.startswith(step.begins)] for step in STEPS]
    assert all(len(lines) == 1 for lines in steps)
    assert {line for (line,) in steps} == {block.line for block in rest}


def test_an_alert_is_waited_for_by_its_state() -> None:
    firing = '{"alerts": [{"rule": "cpu", "state": "firing"}, {"rule": "memory", "state": "recovering"}]}'
    assert cpu_is("firing")(firing)
    assert not cpu_is("recovering", "gone")(firing)
    assert cpu_is("recovering", "gone")('{"alerts": []}')
    assert not cpu_is("gone")("curl: (7) Failed to connect")
