"""A verdict packed for Postgres comes back as it was, is small, and what is none says so."""

import json
import re
from base64 import b64decode

import pytest
from openmanager.stores.verdicts import pack, unpack

# As a round recorded it, and what format 1 made of it.
SAID = {
    "server": "web-01",
    "minute": 1764003720,
    "status": "warning",
    "reasons": [{"level": "warning", "anomaly": 110.8, "limit": 32.09}],
    "silence": {"silent_s": 40, "allowed_s": 180, "score": 0.22},
    "anomaly": {
        "score": 110.8,
        "threshold": 32.09,
        "p_value": 0.05644,
        "anomalous": True,
        "contributions": {
            "load_5m": 0.28,
            "network_receive_packets": 0.13,
            "network_transmit_packets": 0.12,
            "network_receive_bytes": 0.12,
            "network_transmit_bytes": 0.1,
        },
        "code": [0.247, 0.61, 0.0, 0.467],
    },
    "failure": {"probability": 0.829, "horizon_minutes": 30},
    "forecasts": {
        "cpu_utilization": {"method": "last", "skilled": False},
        "memory_used_effective": {"method": "last", "skilled": False},
        "filesystem_utilization": {"method": "last", "skilled": False},
        "swap_utilization": {"method": "last", "skilled": False},
        "load_5m": {"method": "last", "skilled": False},
    },
    "exhaustion": {
        "memory_used_effective": {"outcome": "not_within_horizon", "skilled": False},
        "filesystem_utilization": {"outcome": "not_within_horizon", "skilled": False},
        "swap_utilization": {"outcome": "not_within_horizon", "skilled": False},
    },
    "risk": {"probability": 0.829, "parts": {"failure": 0.829}},
    "confidence": 0.184,
    "missing": {
        "history_minutes": 177,
        "metrics": ["memory_used", "disk_queue", "disk_service_time", "disk_busy", "disk_wait", "tcp_time_wait"],
    },
    "values": {
        "cpu_utilization": 12.6,
        "memory_used_effective": 2.6,
        "filesystem_utilization": 36.9,
        "swap_utilization": 0.0,
        "load_5m": 1.16,
    },
}
BODY = b64decode(
    "Ae3WSw6AIAwE0BsRWrDA4bi7UEn4BFDRxI0LV5PIpnkzF0Q1WIqa+y2LOm0/AK6KVF4KhXT+TYLT/wuE+Y1KYbmRriU+2q8PcXLY"
    "jhdGvCo1mRkxx9GiacJm1sS0bADUJthCXATh02TmdWDRrfbBOukP1F6C+Q6zv6RTSfleepSGoGOp1Weams/lBBQ0PFbOhnKScFfk"
    "BPJ+Bw=="
)


@pytest.mark.parametrize("verdict", [SAID, SAID | {"anomaly": None, "server": "\u00fc" * 64}, {}])
def test_a_packed_verdict_comes_back_as_it_was(verdict: dict[str, object]) -> None:
    assert unpack(pack(verdict)) == verdict


def test_what_was_packed_years_ago_still_reads() -> None:
    assert unpack(BODY) == SAID


def test_a_packed_verdict_is_a_fifth_of_its_text() -> None:
    assert len(pack(SAID)) * 5 < len(json.dumps(SAID, separators=(",", ":")))


@pytest.mark.parametrize(
    ("body", "named"),
    [
        (b"", "begins with b''"),
        (b"\x02" + BODY[1:], r"begins with b'\x02', which no version wrote"),
        (b"\x01rubbish", "does not read"),
        (BODY[:-20], "does not read"),
    ],
)
def test_what_is_no_body_says_so(body: bytes, named: str) -> None:
    with pytest.raises(ValueError, match=re.escape(named)):
        unpack(body)
