"""The words of notifications in English and Korean, and how figures are written."""

from collections.abc import Mapping
from datetime import datetime

from openmanager.catalog import METRIC
from openmanager.values import frozen
from openmanager.zones import zone


@frozen
class Words:
    """One language: names of severities, events, metrics and stages, labels, and sentences with places for figures."""

    severities: Mapping[str, str]
    events: Mapping[str, str]
    metrics: Mapping[str, str]
    labels: Mapping[str, str]
    subjects: Mapping[str, str]
    headlines: Mapping[str, str]
    stages: Mapping[str, str]
    units: tuple[tuple[int, str], ...]
    between: str
    count: str


ENGLISH = Words(
    severities={"info": "Info", "warning": "Warning", "critical": "Critical"},
    events={
        "escalated": "Escalated",
        "repeated": "Still firing",
        "resolved": "Resolved",
        "acknowledged": "Acknowledged",
        "test": "Test",
    },
    metrics={
        "cpu_utilization": "CPU utilization",
        "load_1m": "Load (1 min)",
        "load_5m": "Load (5 min)",
        "load_15m": "Load (15 min)",
        "memory_used": "Memory in use, cache included",
        "memory_used_effective": "Memory utilization",
        "disk_queue": "Disk queue",
        "disk_reads": "Disk reads",
        "disk_read_bytes": "Disk read throughput",
        "disk_service_time": "Disk service time",
        "disk_busy": "Disk busy time",
        "disk_writes": "Disk writes",
        "disk_wait": "Disk wait",
        "disk_write_bytes": "Disk write throughput",
        "network_receive_bytes": "Network received",
        "network_transmit_bytes": "Network sent",
        "network_receive_packets": "Packets received",
        "network_transmit_packets": "Packets sent",
        "tcp_time_wait": "TCP sockets in TIME_WAIT",
        "tcp_established": "TCP connections",
        "filesystem_utilization": "Filesystem utilization",
        "swap_utilization": "Swap utilization",
        "network_errors": "Network errors",
        "processes": "Processes",
        "uptime": "Uptime",
        "response_time": "Response time",
    },
    labels={
        "value": "Value",
        "limit": "limit",
        "since": "Since",
        "lasted": "Lasted",
        "lasting": "Duration",
        "interval": "Forecast interval",
        "contributions": "Main contributions",
        "suppressed": "Alerts held back as its consequences",
        "by": "Acknowledged by",
        "note": "Note",
        "role": "Role",
        "rule": "Rule",
    },
    subjects={
        "threshold": "{metric}",
        "offline": "No data received",
        "anomaly": "Unusual behaviour",
        "failure": "Failure risk",
        "quality": "Predictions worse than no model",
        "age": "{stage} late",
        "rounds": "Nothing is judged",
        "arrivals": "No samples arrive from any server",
        "exhaustion": "{metric}: forecast to reach its limit",
        "test": "This is a test; nothing has happened",
    },
    headlines={
        "threshold": "{metric} {value} (limit {limit})",
        "offline": "No data received for {silence}",
        "anomaly": "Unusual behaviour, score {value} times its threshold",
        "failure": "Failure risk {value} within {horizon}",
        "quality": "Predictions worse than no model: {model} (skill {value})",
        "age": "{stage} late: {value} of the last hour's (limit {limit})",
        "rounds": "Nothing is judged: no round for {silence} while samples arrive",
        "arrivals": "No samples arrive from any of {servers} servers, the last one {silence} ago",
        "exhaustion": "{metric} forecast to reach its limit in {interval}",
        "exhaustion_open": "{metric} forecast to reach its limit in {interval} at the earliest",
    },
    stages={
        "ingest": "Samples arrive",
        "verdict": "Verdicts are",
        "notice": "Notices are delivered",
        "client": "The live feed is",
    },
    units=((86_400, " d"), (3_600, " h"), (60, " min"), (1, " s")),
    between=" to ",
    count="{:.0f}",
)

KOREAN = Words(
    severities={"info": "정보", "warning": "경고", "critical": "심각"},
    events={
        "escalated": "에스컬레이션",
        "repeated": "지속",
        "resolved": "해소",
        "acknowledged": "확인됨",
        "test": "테스트",
    },
    metrics={
        "cpu_utilization": "CPU 사용률",
        "load_1m": "시스템 부하(1분)",
        "load_5m": "시스템 부하(5분)",
        "load_15m": "시스템 부하(15분)",
        "memory_used": "메모리 사용률(캐시 포함)",
        "memory_used_effective": "메모리 사용률",
        "disk_queue": "디스크 대기열",
        "disk_reads": "디스크 읽기 횟수",
        "disk_read_bytes": "디스크 읽기 처리량",
        "disk_service_time": "디스크 서비스 시간",
        "disk_busy": "디스크 사용 시간 비율",
        "disk_writes": "디스크 쓰기 횟수",
        "disk_wait": "디스크 응답 대기 시간",
        "disk_write_bytes": "디스크 쓰기 처리량",
        "network_receive_bytes": "네트워크 수신량",
        "network_transmit_bytes": "네트워크 송신량",
        "network_receive_packets": "수신 패킷 수",
        "network_transmit_packets": "송신 패킷 수",
        "tcp_time_wait": "TIME_WAIT 상태 TCP 소켓 수",
        "tcp_established": "TCP 연결 수",
        "filesystem_utilization": "파일 시스템 사용률",
        "swap_utilization": "스왑 사용률",
        "network_errors": "네트워크 오류",
        "processes": "프로세스 수",
        "uptime": "가동 시간",
        "response_time": "응답 시간",
    },
    labels={
        "value": "측정값",
        "limit": "기준",
        "since": "시작 시각",
        "lasted": "지속 시간",
        "lasting": "경과 시간",
        "interval": "예측 구간",
        "contributions": "주요 기여 지표",
        "suppressed": "연쇄 영향으로 보류된 알림",
        "by": "확인자",
        "note": "메모",
        "role": "역할",
        "rule": "규칙",
    },
    subjects={
        "threshold": "{metric}",
        "offline": "데이터 수신 중단",
        "anomaly": "이상 징후",
        "failure": "장애 위험",
        "quality": "예측 품질 저하",
        "age": "{stage} 지연",
        "rounds": "판정 중단",
        "arrivals": "모든 서버의 데이터 수신 중단",
        "exhaustion": "{metric} 한계 도달 예측",
        "test": "테스트 알림이며 실제 장애가 아닙니다",
    },
    headlines={
        "threshold": "{metric} {value} (기준 {limit})",
        "offline": "{silence}째 데이터 수신 중단",
        "anomaly": "이상 징후, 이상 점수가 기준의 {value}배",
        "failure": "{horizon} 이내 장애 확률 {value}",
        "quality": "예측 품질 저하: {model} (모델 없는 기준 대비 {value})",
        "age": "{stage} 지연: 최근 1시간의 {value} (기준 {limit})",
        "rounds": "데이터는 들어오는데 {silence}째 판정 중단",
        "arrivals": "서버 {servers}대 모두 데이터 수신 중단, 마지막 수신 {silence} 전",
        "exhaustion": "{metric} {interval} 후 한계 도달 예측",
        "exhaustion_open": "{metric} 이르면 {interval} 후 한계 도달 예측",
    },
    stages={
        "ingest": "샘플 수신",
        "verdict": "판정",
        "notice": "알림 전달",
        "client": "실시간 피드",
    },
    units=((86_400, "일"), (3_600, "시간"), (60, "분"), (1, "초")),
    between="~",
    count="{:.0f}건",
)
WORDS: Mapping[str, Words] = {"en": ENGLISH, "ko": KOREAN}
_PREFIXES = ((1e9, "G"), (1e6, "M"), (1e3, "k"))


def duration(seconds: float, words: Words) -> str:
    """A span in its two largest units: 2 h 10 min, 2시간 10분. Below a minute in seconds."""
    left = max(0, round(seconds))
    if left >= 60:
        left -= left % 60
    parts: list[str] = []
    for size, name in words.units:
        if left >= size and len(parts) < 2:
            parts.append(f"{left // size}{name}")
            left %= size
        elif parts:
            break
    return " ".join(parts) or f"0{words.units[-1][1]}"


def clock(at_s: float, timezone: str) -> str:
    """An instant on the wall's clock of a time zone: 2026-11-23 17:52 UTC."""
    return datetime.fromtimestamp(at_s, zone(timezone)).strftime("%Y-%m-%d %H:%M %Z")


def amount(value: float, metric: str) -> str:
    """A metric's value with its unit, at most at the catalogue's precision: 93.1%, 1.5 MB/s, 12 ms."""
    known = METRIC.get(metric)
    unit = known.unit if known else ""
    if unit == "B/s":
        for size, prefix in _PREFIXES:
            if value >= size:
                return f"{value / size:.3g} {prefix}B/s"
    number = f"{round(value, known.decimals if known else 2):,.10g}"
    if unit == "%":
        return f"{number}%"
    return f"{number} {unit}".rstrip().replace(" 1/s", "/s")


def share(value: float) -> str:
    """A probability or share as a percentage: 62%."""
    return f"{100 * value:.0f}%"
