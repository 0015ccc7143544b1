"""The words that questions are understood by: tables of cue and meaning in both languages (matching.Text). Pure."""

# ruff: noqa: E501 -- a line of a table is a line.

from openmanager.catalog import METRIC

# A table is lines of `meaning: cue, cue, …`.


def _table(text: str) -> tuple[tuple[str, str], ...]:
    rows = [line.partition(":") for line in text.strip().splitlines()]
    return tuple((cue.strip(), meaning.strip()) for meaning, _, cues in rows for cue in cues.split(","))


# What people write for longer words when they are in a hurry: whole words in English, wherever they stand in Korean.
SHORT = {
    "whats": "what", "hows": "how", "whos": "who", "wheres": "where", "y": "why", "u": "you", "r": "are", "ur": "your",
    "gonna": "going to", "rn": "right now", "crit": "critical", "warn": "warning", "ack": "acknowledged",
    "acks": "acknowledged", "acked": "acknowledged", "acking": "acknowledged", "unacked": "unacknowledged",
    "perf": "performance", "util": "utilization", "prob": "probability", "wtf": "what", "wat": "what", "wth": "what", "fs": "filesystem",
    "conns": "connections", "procs": "processes", "tmrw": "tomorrow", "tmr": "tomorrow", "ystd": "yesterday",
    "머가": "뭐가", "모가": "뭐가", "머야": "뭐야", "뭔일": "무슨 일", "어캐": "어떻게", "어케": "어떻게", "어뜨케": "어떻게", "어카지": "어떡하지",
    "어떻해": "어떡해", "알럿": "알림", "얼럿": "알림", "알러트": "알림", "담에": "다음에", "담주": "다음 주",
    "글고": "그리고", "젤": "제일",
}  # fmt: skip

METRICS = _table("""
cpu_utilization: cpu, cpus, processor*, busy, busiest, 씨피유, 프로세서, 바쁜, 바빠
memory_used_effective: memory, ram, mem, 메모리, 램 사용, 램을, 램이, 램은, 램 많, 램 부족
filesystem_utilization: disk space, disk usage, disk full, disk, disks, filesystem*, file system*, storage space, partition*, volume*, 디스크, 파일시스템, 저장 공간, 하드디스크
disk_busy: disk io, disk busy, disk activity, disk load, io wait, iowait, io load, 디스크 io, 디스크 부하, 디스크 입출력, 디스크 활동, 입출력
disk_read_bytes: disk read*, read throughput, 디스크 읽기
disk_write_bytes: disk write*, write throughput, 디스크 쓰기
disk_wait: disk latency, disk wait*, 디스크 지연, 디스크 대기
load_5m: load, load average, 부하, 로드
swap_utilization: swap*, 스왑
network_receive_bytes: network, network load, throughput, data rate, network traffic, network bandwidth, traffic, bandwidth, incoming traffic, inbound, received, download*, 네트워크, 네트워크 트래픽, 트래픽, 대역폭, 수신
network_transmit_bytes: outgoing, outgoing traffic, outgoing network traffic, outbound, outbound traffic, upload*, egress, sent, 송신, 나가는 트래픽, 보내는 트래픽
network_errors: network error*, packet error*, packet loss, 네트워크 오류, 네트워크 에러, 패킷 손실
tcp_established: connections, connection count, sockets, 소켓, tcp connections, open connections, 연결 수, 커넥션, 접속 수
processes: processes, process count, 프로세스
uptime: uptime, up time, been up, running since, 가동 시간, 업타임
response_time: response time*, response, responses, latency, latencies, respond*, slow, slowest, slower, slowly, sluggish, lag, laggy, lagging, 응답 시간, 응답 속도, 지연 시간, 느린, 느려
""")
assert all(metric in METRIC for _, metric in METRICS)

ROLES = _table("""
web: web, web server*, webserver*, frontend*, 웹, 웹 서버
api: api, apis, api server*, 에이피아이
database: database*, db, dbs, db server*, 데이터베이스, 디비
cache: cache*, 캐시
storage: storage, storage server*, 스토리지
k8s-control: k8s-control, control plane*, 컨트롤 플레인
k8s-worker: k8s-worker*, worker node*, kubernetes worker*, 워커 노드
load-balancer: load-balancer*, load balancer*, lb, lbs, 로드 밸런서, 로드밸런서
backup: backup server*, backups, backup, 백업 서버, 백업
""")

# What only looks like a status means nothing ("").
STATUSES = _table("""
healthy: healthy, normal, 정상
warning: warning server*, in warning, warning state, warning status, 경고 상태
critical: critical, critically, severe, 심각
offline: offline, down, dead, unreachable, not responding, 죽은, 죽었, 다운, 오프라인, 꺼진, 꺼져, 응답이 없는, 응답 없는, 응답하지 않는
maintenance: maintenance, 점검 중, 유지보수, 유지 보수
unknown: unknown, 알 수 없는 상태
: go down, goes down, going down, gone down, went down, slow down, break down, 비정상
""")

# Of how many servers; what comes after or before a number.
NUMBERS = {
    word: n
    for words in ("one two three four five six seven eight nine ten", "한 두 세 네 다섯 여섯 일곱 여덟 아홉 열")
    for n, word in enumerate(words.split(), 1)
}
BEFORE_COUNT = ("top", "first", "worst", "상위", "the")
AFTER_COUNT = ("servers", "machines", "hosts", "busiest", "most", "대", "개", "servers", "database", "databases", "web")
MOST_SHOWN = 20

# Intent, weight: cues. The heaviest cue of an intent counts; `{…}` are features of the question, all of a row's must be
# there. Of equals the intent that stands first in INTENTS wins.
INTENTS = (
    "record", "security", "causes", "advice", "logs", "capacity", "anomalies", "alerts", "predictions", "trend",
    "performance", "server", "status",
)  # fmt: skip
CUES = tuple(
    (intent, int(weight), cue)
    for line in """
record 9: how good, how often .. wrong, how right, how wrong, track, performance of your, past predictions, past forecasts, past warnings, prediction record, believe, how well, accura*, precision, recall, false alarm*, false positive*, trust, reliab*, track record, hit rate, how often .. right, were .. right, been right, correct, come true, came true, lead time, brier, missed, 믿, 정확, 적중, 오탐, 미탐, 거짓 경보, 잘못된 경보, 맞았, 맞췄, 맞혔, 맞은, 맞는, 틀렸, 틀린, 놓친, 놓쳤, 신뢰, 성적, 예측 기록, 맞음, 맞았음, 틀림
security 9: login*, who .. deleted, who .. created, who .. made, who .. added, tamper*, breach*, attack*, permission*, access denied, who accessed, log-in*, sign-in*, sign ins, log in, log ins, logged in, logon*, sign in*, signed in, signin*, password*, audit*, security, api key*, intrus*, brute force, unauthor*, hacked, hack*, who changed, who .. changed, who deleted, who created, who did, who touched, break in*, 보안, 공격, 뚫, 유출, 누가 .. 추가, 누가 .. 들어, 로그인, 로그온, 감사 로그, 감사 기록, 비밀번호, 침입, 권한, 해킹, 누가 .. 바꿨, 누가 .. 변경, 누가 .. 삭제, 누가 .. 만들, 인증 실패, 접속 시도, api 키
causes 8: why, what makes, what made, how come, because of, responsible for, triggered, to blame, culprit, cause*, causing, reason*, explain, what is wrong, what wrong, wrong with, behind, due to, 왜, 무엇 때문, 뭣 때문, 어쩌다, 이유, 범인, 탓, 원인, 때문, 설명, 뭐가 문제, 무엇이 문제, 왤케, 왤, 왜케
advice 8: now what, what now, what should, what else can, should i, should we, where do i start, how to get, how to reduce, how to lower, how to free, way to, what can i do, what do i do, what to do, what must, how do i fix, how can i fix, how to fix, fix, recommend*, advice, advise, suggest*, command*, check first, next step*, how do i solve, solve, how to handle, how should i, how do i, how can i, how could i, tips, tip, remedy, remediat*, mitigat*, prevent, what would you do, 조치, 해결, 하면 좋, 하면 될, 하면 돼, 확보하려, 줄이려면, 예방, 방지, 팁, 방법, 어떻게 해야, 확인해야, 봐야 할, 점검해야, 어떻게 하는, 어떻게 하면, 어떻게 할, 어찌 해야, 뭘 하면, 뭘 봐야, 무엇을 봐야, 뭐 해야, 줄이는, 늘리려면, 어떡해, 어떡하, 뭘 해야, 무엇을 해야, 뭐부터, 명령, 점검할, 점검 방법, 점검하려면, 확인하려면, 추천, 권장, 조언, 대처, 대응, 고치, 고쳐, 어떻게 해, 이제 어떻게, 해결법
logs 7: log, log entry, log message*, dmesg, kernel messages, stdout, stderr, logs, log file*, log line*, log entries, syslog, journal, stack trace*, exceptions, error message*, 로그, 에러 메시지, 오류 메시지, 스택 트레이스
capacity 6: run out, ran out, how much longer, how much .. left, how many .. left, how soon, how close, until .. full, lasts, will .. last, does .. last, soon be full, enough, runs out, running out, run low, running low, fill*, full, exhaust*, capacity, headroom, how long until, how long will .. last, time left, space left, days left, reach .. limit, hit .. limit, enough .. space, enough .. memory, room left, 언제 .. 차, 언제 .. 찰, 꽉, 가득, 부족, 고갈, 용량, 남았, 버틸, 버티, 버텨, 며칠이나, 얼마나 갈, 얼마나 가, 얼마나 더, 찰까, 차게, 다 차, 한계, 소진, 여유, 모자라, 바닥나,  make it, 남음, 남은, 남나, 버팀, 버틸까, disk .. survive, memory .. survive, how long till, how long til, oom, 언제 .. 터, 풀나, 풀 나
anomalies 6: anomal*, normally, as usual, like usual, irregular*, deviat*, spike*, off today, acting up, funny, unusual*, strange*, odd, oddly, weird*, abnormal*, suspicious*, outlier*, behav*, out of the ordinary, not normal, 이상한, 이상 징후, 이상 현상, 이상 탐지, 이상 감지, 이상이, 이상 있, 이상 서버, 이상치, 이상은, 이상 없, 평소와, 평소 같, 평소처럼, 평소대로, 평소에 비해, 튀는, 튀었, 급증, 급등, 비정상, 특이, 수상한, 이상해, 이상하, 이상함
alerts 6: alert*, pager, go off, went off, going off, ringing, bell, open issues, open problems, alarm*, warnings, fired, firing, paged, pages, incident*, notification*, unacknowledged, acknowledged, 알림, 경보, 울렸, 울린, 알람, 경고, 인시던트, 확인 안 된, 확인되지 않은
predictions 5: predict*, probab*, chance*, odds, expected, expect, at stake, next to go, in trouble soon, forecast*, likely, fail, fails, failing, failure*, will .. break, break next, breaks next, going to break, about to break, crash*, will .. die, go down, goes down, going down, break down, risk*, riskiest, danger*, next hour, 장애, 고장, 확률, 가능성, 죽겠, 뻗을, 뻗겠, 내려갈, 위험, 예측, 예상, 다음에, 터질, 죽을, 망가, die next, dies next, going to die, about to die, 곧 죽, 죽음, 죽나, 터짐, 터지
predictions 6: survive, make it, 버틸까, 버팀, 살아남, 무사
trend 5: trend*, course, curve, timeline, evolution, gone, history, develop*, evolve*, plot, graph, chart, over time, gone up, go up, went up, going up, gone down, went down, increas*, decreas*, risen, rise, rising, grow*, grew, drop*, chang*, climb*, compar*, how has, how have, 추이, 추세, 경향, 경과, 얼마나 변, 변화, 그래프, 늘었, 늘고, 늘어, 증가, 감소, 줄었, 줄고, 올랐, 올라, 오르, 떨어, 차트, 흐름, 변했, 비교
performance 4: most, most loaded, hottest, top consumer*, hungry, compare all, sort*, order by, worst, highest, top, busiest, heaviest, largest, biggest, slowest, lowest, least, hog*, rank*, hungriest, performance, 가장, 제일, 젤, 많은 순, 정렬, 1등, 탑, 많이 쓰, 많이 사용, 많이 먹, 상위, 높은, 바쁜, 느린, 순위, 순으로, 최고, 성능
status 6: urgent*, broken, 고장난, 고장 난, attention, look at first, most important, priority, priorities, 급한, 시급, 긴급, 주의가 필요, on fire, blew up, exploded, 터졌, 터진, 뻗었, 뻗은, 난리
status 5: overview, whats up, what up, how is everything, running fine, running well, in order, health check, healthy, health, quick check, situation, summary, summari*, everything, all servers, all good, all ok, all right, fleet, how are we, are we, how is it going, how are things, how are the servers, state of the servers, status of the servers, what is going on, what going on, 전체, 잘 돌아, 잘 되고, 문제 없, 문제없, 이상무, 안녕한, 상황, 현황, 요약, 전반, 모두, 다 괜찮, 다들, 괜찮, 별일, 서버들 상태, 어떤 서버들, 다 살아, 다들 살아, 전부 살아, 멀쩡
status 3: how many, list, status, 몇 대, 몇대, 목록, 상태
server 3: tell me about
""".strip().splitlines()
    for head, _, cues in [line.partition(":")]
    for intent, weight in [head.split()]
    for cue in (c.strip() for c in cues.split(","))
)
# What only sounds like a cue, taken out before cues are looked for.
DECOYS = ("사용량", "이용량", "% 이상", "퍼센트 이상", "이상인", "도 이상", "개 이상", "대 이상", "시간 이상")
# Intent, what it adds, and the features that must all be there, `-` those that must not.
FEATURES = (
    ("server", 2, ("server",)),
    ("server", 2, ("server", "metric")),
    ("server", 3, ("server", "now", "-window")),
    ("trend", 3, ("server", "metric", "window")),
    ("trend", 2, ("metric", "window")),
    ("performance", 2, ("metric", "-server")),
    ("performance", 1, ("metric", "count")),
    ("capacity", 3, ("metric", "horizon")),
    ("predictions", 2, ("horizon",)),
    ("status", 4, ("status", "-server")),
    ("status", 1, ("role", "-server", "-metric")),
)
NOW = (
    "now",
    "right now",
    "current*",
    "at the moment",
    "state of",
    "status",
    "how is",
    "up",
    "alive",
    "지금",
    "현재",
    "상태",
    "살아",
    "어때",
    "괜찮",
    "대해",
)

LOWEST = ("lowest", "least", "smallest", "idle", "idlest", "낮은", "적은", "적게", "한가한")
# Questions about the last answer's server, and questions that only change something in the last question.
PRONOUNS = (
    "it",
    "its",
    "there",
    "that server",
    "this server",
    "that one",
    "this one",
    "that machine",
    "그 서버",
    "그거",
    "그것",
    "그건",
    "거기",
    "이 서버",
    "해당 서버",
)

# Topics that sound like ours, of which nothing is stored.
ABSENT = _table("""
temperature: temperature*, hot, heat, degrees, 온도, 뜨거, 발열
gpu: gpu*, graphics card*, 그래픽 카드, 지피유
power: power, watt*, electricity, battery, 전력, 전기, 배터리
fans: fan, fans, 팬 속도, 쿨러
cost: cost*, price*, bill, expens*, dollar*, 비용, 가격, 요금, 얼마짜리
weather: weather, rain*, 날씨, 비가
people: ceo, president, salary, birthday, 사장, 대통령, 월급, 생일
location: where is .. located, rack, data center, datacenter, 어디에 설치, 위치한
software: kernel version, os version, operating system, package version*, installed version, patch*, 커널 버전, 운영체제, 패치, 설치된 버전
requests: requests per second, http status, error rate, 404, 500 errors, visitors, users online, 초당 요청, 방문자, 에러율, 오류율
queries: slow quer*, sql quer*, database size, table size*, 슬로우 쿼리, 쿼리, 테이블 크기
certificates: certificate*, ssl, tls, domain expir*, 인증서
""")

# Of questions about the audit log: how the actions begin that they are about.
ACTIONS = _table("""
login.fail login.wait login.flood: failed login*, failed log ins, failed log-in*, failed sign-in*, login failure*, login .. fail*, wrong password*, brute force, 로그인 실패, 로그인 .. 실패, 비밀번호 오류, 인증 실패
login: login*, log-in*, logged in, log in, log ins, sign-in*, sign in*, signed in, signin*, 로그인, 접속 시도
refused token.refused: refused, denied, unauthor*, forbidden, 거부, 권한 없
user.: user*, account*, 사용자, 계정
key.: api key*, keys, api 키
rule.: rule*, threshold*, 규칙, 임계
silence.: silence*, muted, 무음, 침묵
alert.: acknowledge*, 확인 처리
""")

# What says nothing of the subject. A question that has no cue, and more than these, is about something else.
_FILLERS = """
numbers figures facts stats statistics metrics metric bit quick quickly really actually maybe something anything thing
things need want like know see look looking say tell told hey dear assistant kindly could pls plz good bad fine well
lately recently today week day days hour hours minute minutes time times last past since until before after during
long longer short high higher low lower big make makes made keep kept come came box boxes instance instances vm vms

a an the of on in at to for from by with is are was were be been do does did has have had can could would will shall
i me my we us our you your it its this that these those there here what which who whom whose when where how any some
please show give tell get let see list find display look check and or but also then about than so much many more
now right currently current today server servers machine machines host hosts node nodes system value values number
usage use used using utilization percent status state info information details detail data report hi hello hey
thanks thank only just all each every doing going up alive ok okay well still yet again happen happened happening
"""
FILLERS = frozenset(_FILLERS.split())
# The same in Korean: stems that a word may begin with, and particles.
FILLER_STEMS = (
    "지표", "수치", "숫자", "보자", "볼까", "봐", "좀", "잘", "계속", "자꾸", "요즘", "이렇게", "그렇게", "혹시", "우리", "한번", "빨리",
    "최근", "지난", "오늘", "어제", "시간", "분", "일", "주", "제발", "궁금", "싶", "네", "죠", "지", "나", "어", "아", "서버들", "머신", "장비",
    "알려", "보여", "말해", "얘기", "이야기", "해줘", "해주", "줘", "주세요", "좀", "지금", "현재", "상태", "서버", "어때", "어떄",
    "어떻", "어떤", "뭐", "무엇", "몇", "얼마", "있", "없", "이야", "인가", "인지", "이니", "니", "야", "요", "는", "은", "이", "가", "을",
    "를", "의", "에", "에서", "로", "으로", "도", "만", "과", "와", "하고", "랑", "그럼", "그러면", "그리고", "그", "및", "사용", "사용률", "사용량",
    "값", "정보", "확인", "조회", "부탁", "해", "하나", "한번", "퍼센트", "수준", "정도", "쪽", "대", "개", "동안", "살아", "나요", "까",
    "돼", "되", "됐", "대한", "대해", "관련", "전부", "다", "모든", "어디", "누구", "언제", "왜", "때", "건", "것", "거",
)  # fmt: skip


def _single_words() -> frozenset[str]:
    """The English words of all tables, `*` at the end of stems: what somebody who mistyped may have meant."""
    cues = [cue for _, _, cue in CUES]
    cues += [cue for table in (METRICS, ROLES, STATUSES, ABSENT, ACTIONS) for cue, _ in table]
    words = {word for cue in (*cues, *NOW, *LOWEST) for word in cue.replace("..", " ").split()}
    return frozenset(w for w in words | FILLERS if w.rstrip("*").isascii() and w.rstrip("*").isalpha())


KNOWN_WORDS = _single_words()
