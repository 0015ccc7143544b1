"""What people read, in both languages, from the facts and nothing else."""

from typing import Any

import pytest
from openmanager.catalog import METRIC_KEYS
from openmanager.notify.message import compose, cut, cut_octets
from openmanager.notify.notice import EVENTS, SEVERITIES, Notice
from openmanager.notify.words import ENGLISH, KOREAN, amount, duration

AT = 1_764_000_000


def notice(event: str = "firing", severity: str = "warning", **facts: Any) -> Notice:
    return Notice("n", event, "db-01", "rule-1", severity, AT - 7800, AT, "the rule's own title", facts)  # type: ignore[arg-type]


EXHAUSTION = {
    "metric": "filesystem_utilization",
    "earliest_s": 7800.0,
    "latest_s": 18000.0,
    "coverage": 0.8,
    "value": 2.2,
}
CASES = [
    (
        notice(severity="critical", metric="cpu_utilization", value=93.14, limit=90.0),
        "[Critical] db-01: CPU utilization 93.1% (limit 90%)",
        "[심각] db-01: CPU 사용률 93.1% (기준 90%)",
    ),
    (
        notice(metric="network_receive_bytes", value=123_456_789.0, limit=1e8),
        "[Warning] db-01: Network received 123 MB/s (limit 100 MB/s)",
        "[경고] db-01: 네트워크 수신량 123 MB/s (기준 100 MB/s)",
    ),
    (
        notice(severity="critical", silent_s=245),
        "[Critical] db-01: No data received for 4 min",
        "[심각] db-01: 4분째 데이터 수신 중단",
    ),
    (
        notice(kind="anomaly", value=1.84, contributions={"network_errors": 0.45}),
        "[Warning] db-01: Unusual behaviour, score 1.8 times its threshold",
        "[경고] db-01: 이상 징후, 이상 점수가 기준의 1.8배",
    ),
    (
        notice(value=0.62, horizon_minutes=30),
        "[Warning] db-01: Failure risk 62% within 30 min",
        "[경고] db-01: 30분 이내 장애 확률 62%",
    ),
    (
        notice(**EXHAUSTION),
        "[Warning] db-01: Filesystem utilization forecast to reach its limit in 2 h 10 min to 5 h",
        "[경고] db-01: 파일 시스템 사용률 2시간 10분~5시간 후 한계 도달 예측",
    ),
    (
        notice(**{**EXHAUSTION, "latest_s": None}),
        "[Warning] db-01: Filesystem utilization forecast to reach its limit in 2 h 10 min at the earliest",
        "[경고] db-01: 파일 시스템 사용률 이르면 2시간 10분 후 한계 도달 예측",
    ),
    (
        notice("escalated", metric="load_5m", value=4.0, limit=2.0),
        "[Escalated · Warning] db-01: Load (5 min) 4 (limit 2)",
        "[에스컬레이션 · 경고] db-01: 시스템 부하(5분) 4 (기준 2)",
    ),
    (
        notice("repeated", metric="load_5m", value=4.0, limit=2.0),
        "[Still firing · Warning] db-01: Load (5 min) 4 (limit 2)",
        "[지속 · 경고] db-01: 시스템 부하(5분) 4 (기준 2)",
    ),
    (
        notice("resolved", metric="load_5m", value=1.0, limit=2.0),
        "[Resolved] db-01: Load (5 min)",
        "[해소] db-01: 시스템 부하(5분)",
    ),
    (
        notice("acknowledged", silent_s=245, by="kim"),
        "[Acknowledged] db-01: No data received",
        "[확인됨] db-01: 데이터 수신 중단",
    ),
    (notice(), "[Warning] db-01: the rule's own title", "[경고] db-01: the rule's own title"),
    (notice(metric="cpu_utilization", value="high"), "[Warning] db-01: CPU utilization", "[경고] db-01: CPU 사용률"),
]


@pytest.mark.parametrize(("said", "english", "korean"), CASES)
def test_the_title_says_what_the_facts_say(said: Notice, english: str, korean: str) -> None:
    assert compose(said, "en", "UTC").title == english
    assert compose(said, "ko", "Asia/Seoul").title == korean


def test_the_lines_tell_the_rest_in_the_readers_language_and_time() -> None:
    facts = {
        **EXHAUSTION,
        "contributions": {"disk_writes": 0.2, "processes": 0.5, "x": 0.1, "y": 0.05},
        "suppressed": 3,
    }
    said = notice("acknowledged", **facts, by="kim", note="a new\r\ndisk is on its way")
    assert compose(said, "en", "UTC").lines == (
        ("Since", "2025-11-24 13:50 UTC"),
        ("Duration", "2 h 10 min"),
        ("Forecast interval", "2 h 10 min to 5 h (80%)"),
        ("Main contributions", "Processes 50%, Disk writes 20%, x 10%"),
        ("Alerts held back as its consequences", "3"),
        ("Acknowledged by", "kim"),
        ("Note", "a new disk is on its way"),
        ("Rule", "rule-1"),
    )
    assert compose(said, "ko", "Asia/Seoul").lines == (
        ("시작 시각", "2025-11-24 22:50 KST"),
        ("경과 시간", "2시간 10분"),
        ("예측 구간", "2시간 10분~5시간 (80%)"),
        ("주요 기여 지표", "프로세스 수 50%, 디스크 쓰기 횟수 20%, x 10%"),
        ("연쇄 영향으로 보류된 알림", "3건"),
        ("확인자", "kim"),
        ("메모", "a new disk is on its way"),
        ("규칙", "rule-1"),
    )


def test_a_test_says_that_nothing_has_happened() -> None:
    said = Notice("t", "test", "", "test", "info", AT, AT, "Test")
    assert compose(said, "en", "UTC").title == "[Test] This is a test; nothing has happened"
    assert compose(said, "ko", "UTC").title == "[테스트] 테스트 알림이며 실제 장애가 아닙니다"
    assert compose(said, "ko", "UTC").lines == ()


def test_both_languages_have_every_word() -> None:
    for words in (ENGLISH, KOREAN):
        assert set(words.metrics) == set(METRIC_KEYS)
        assert set(words.severities) == set(SEVERITIES)
        assert set(words.events) == set(EVENTS) - {"firing"}
        assert set(words.labels) == set(ENGLISH.labels)
        assert set(words.subjects) == set(ENGLISH.subjects)
        assert set(words.headlines) == set(ENGLISH.headlines)


def test_links_that_are_none_are_left_out() -> None:
    said = Notice(
        "n", "firing", "s", "r", "info", AT, AT, "t", links={"a": "javascript:alert(1)", "b": "https://x.example/"}
    )
    assert compose(said, "en", "UTC").links == (("b", "https://x.example/"),)


@pytest.mark.parametrize(
    ("seconds", "said"),
    [
        (0, "0 s"),
        (59.4, "59 s"),
        (60, "1 min"),
        (119, "1 min"),
        (3600, "1 h"),
        (3660, "1 h 1 min"),
        (90_061, "1 d 1 h"),
        (86_460, "1 d"),
    ],
)
def test_spans_are_said_in_two_units(seconds: float, said: str) -> None:
    assert duration(seconds, ENGLISH) == said


@pytest.mark.parametrize(
    ("value", "metric", "said"),
    [
        (93.14159, "cpu_utilization", "93.1%"),
        (1234.0, "processes", "1,234"),
        (12.0, "disk_reads", "12/s"),
        (3.14159, "disk_wait", "3.14 ms"),
        (999.0, "disk_read_bytes", "999 B/s"),
        (0.5, "none", "0.5"),
    ],
)
def test_values_carry_the_catalogues_unit_and_precision(value: float, metric: str, said: str) -> None:
    assert amount(value, metric) == said


def test_texts_are_cut_whole_characters_at_a_time() -> None:
    assert cut("가나다", 3) == "가나다"
    assert cut("가나다라", 3) == "가나…"
    assert cut("a😀b", 3) == "a…"
    assert cut_octets("가나다", 9) == "가나다"
    assert cut_octets("가나다라", 9) == "가나…"
    assert cut_octets("a가나다라", 9) == "a가…"
