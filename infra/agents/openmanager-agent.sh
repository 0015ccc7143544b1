#!/bin/sh
# OpenManager agent that needs nothing installed: a POSIX shell, awk, df, curl and Linux. One file; copy it anywhere.
#
#     OPENMANAGER_URL=https://... OPENMANAGER_TOKEN=... sh openmanager-agent.sh
#
# Reads /proc, keeps what cannot be delivered in a bounded file, and pushes as often as the server asks for.

set -u
LC_ALL=C
export LC_ALL
umask 077

BATCH_SAMPLES=100
SPOOL_BYTES=${OPENMANAGER_AGENT_SPOOL_BYTES:-8388608}
TIMEOUT_S=10
BACKOFF_CAP_S=60
RETRY_AFTER_CAP_S=900
# The catalogue's lists of what would count the same bytes twice or measure nothing real, as the beginning of a name.
IGNORED_DISKS='loop ram zram dm- md sr'
IGNORED_NETWORKS='lo veth docker br- virbr cni cali flannel tun tap utun wg ifb dummy bond team'
# Where the kernel shows itself; another place for a container that watches its host.
PROC=${OPENMANAGER_PROC:-/proc}
SYS_BLOCK=${OPENMANAGER_SYS_BLOCK:-/sys/block}

usage() {
    cat <<'END'
usage: openmanager-agent.sh [--once] [OPTION VALUE]...

Pushes this machine's metrics to OpenManager. Needs awk, df, curl and Linux.

  --url URL            address of the server, such as https://om.example.com
  --interval SECONDS   between samples (15)
  --server ID          id of this server (its hostname)
  --role ROLE          web, api, database, cache, storage, ...
  --environment NAME   on-premise, aws, gcp, azure, kubernetes
  --label KEY=VALUE    a label; repeatable
  --spool FOLDER       keeps what could not be delivered for the next start
  --once               push one sample and end: 0 if delivered
  --help               this text

Each option may also be set as OPENMANAGER_<OPTION>, labels as OPENMANAGER_LABELS=a=b,c=d, the spool folder as
OPENMANAGER_AGENT_SPOOL. The API key is read from OPENMANAGER_TOKEN only: everybody can see a command line.
END
}

log() { printf '%s %s %s\n' "$(date '+%Y-%m-%d %H:%M:%S')" "$1" "$2" >&2; }

mistake() {
    printf 'openmanager-agent.sh: %s\n' "$1" >&2
    exit 2
}

# --- reading ---------------------------------------------------------------------------------------------------------

# Prints `filesystem UTILIZATION` of the fullest local filesystem, as df counts it. Only mount points of real devices
# are looked at: a network filesystem whose server is away would stop df for ever.
read_filesystems() {
    set -- /
    mounts=$(awk '$1 ~ "^/dev/" && $1 !~ "^/dev/loop" && $3 !~ /^(squashfs|erofs|iso9660)$/ { print $2 }' \
        "$PROC/mounts" 2>/dev/null)
    while IFS= read -r mount; do
        # A blank in a name stands there as \040, which is how %b wants it:
        [ -n "$mount" ] && [ "$mount" != / ] && set -- "$@" "$(printf '%b' "$mount")"
    done <<END
$mounts
END
    df -P -k "$@" 2>/dev/null | awk '
        NR > 1 && $3 + $4 > 0 { share = 100 * $3 / ($3 + $4); if (share > most) most = share; found = 1 }
        END { if (found) printf "filesystem %.1f\n", most }'
}

# Prints one sample as a line of JSON. What this kernel does not tell is left out.
read_sample() {
    disks=' '
    for path in "$SYS_BLOCK"/*; do
        [ -e "$path" ] && disks="$disks${path##*/} "
    done
    set -- "$PROC"/[0-9]*
    processes=$#
    set --
    for name in stat loadavg meminfo uptime net/snmp net/sockstat diskstats net/dev; do
        [ -r "$PROC/$name" ] && set -- "$@" "$PROC/$name"
    done
    read_filesystems | awk -v proc="$PROC" -v disks="$disks" -v processes="$processes" -v now="$(date +%s)" \
        -v ignored_disks="$IGNORED_DISKS" -v ignored_networks="$IGNORED_NETWORKS" '
        function gauge(key, value, format) { metrics = metrics ",\"" key "\":" sprintf(format, value) }
        function counter(key, value, format) { counters = counters ",\"" key "\":" sprintf(format, value) }
        # mawk and busybox cut %d at 32 bits, but %.0f at none.
        function whole(key, value) { counter(key, value, "%.0f") }
        function ignored(name, list,    n, i, beginnings) {
            if (name ~ /[^ -~]|["\\]/) return 1
            n = split(list, beginnings, " ")
            for (i = 1; i <= n; i++) if (index(name, beginnings[i]) == 1) return 1
            return 0
        }
        FILENAME == "-" || FILENAME == "" { if ($1 == "filesystem") gauge("filesystem_utilization", $2, "%.1f"); next }
        { place = substr(FILENAME, length(proc) + 2) }
        # Time of all processors in hundredths of a second, made one of their mean:
        place == "stat" && $1 == "cpu" { idle = $5; iowait = $6; next }
        place == "stat" && $1 ~ /^cpu[0-9]/ { processors++; next }
        place == "loadavg" {
            gauge("load_1m", $1, "%.2f"); gauge("load_5m", $2, "%.2f"); gauge("load_15m", $3, "%.2f"); next
        }
        place == "meminfo" { memory[$1] = $2; next }
        place == "uptime" { gauge("uptime", $1, "%.0f"); next }
        place == "net/snmp" && $1 == "Tcp:" {
            if (!established) { for (i = 2; i <= NF; i++) if ($i == "CurrEstab") established = i; next }
            gauge("tcp_established", $established, "%.0f"); next
        }
        place == "net/sockstat" && $1 == "TCP:" {
            for (i = 2; i < NF; i++) if ($i == "tw") gauge("tcp_time_wait", $(i + 1), "%.0f")
            next
        }
        place == "diskstats" && NF >= 14 && !ignored($3, ignored_disks) && (disks == " " || index(disks, " " $3 " ")) {
            whole("disk_reads/" $3, $4); whole("disk_read_bytes/" $3, $6 * 512); whole("disk_read_time/" $3, $7)
            whole("disk_writes/" $3, $8); whole("disk_write_bytes/" $3, $10 * 512); whole("disk_write_time/" $3, $11)
            counter("disk_busy/" $3, $13 / 10, "%.1f"); counter("disk_queue/" $3, $14 / 1000, "%.3f"); next
        }
        place == "net/dev" && index($0, ":") {
            colon = index($0, ":")
            name = substr($0, 1, colon - 1); gsub(/ /, "", name)
            if (ignored(name, ignored_networks)) next
            split(substr($0, colon + 1), n, " ")
            whole("network_receive_bytes/" name, n[1]); whole("network_receive_packets/" name, n[2])
            whole("network_receive_errors/" name, n[3]); whole("network_transmit_bytes/" name, n[9])
            whole("network_transmit_packets/" name, n[10]); whole("network_transmit_errors/" name, n[11])
        }
        END {
            if (processors) {
                counter("cpu_idle", idle / 100 / processors, "%.2f")
                counter("cpu_iowait", iowait / 100 / processors, "%.2f")
            }
            total = memory["MemTotal:"]
            if (total > 0) {
                # Kernels before 3.14 do not say what is available.
                free = memory["MemFree:"]
                available = ("MemAvailable:" in memory) ? memory["MemAvailable:"] \
                    : free + memory["Buffers:"] + memory["Cached:"]
                gauge("memory_used", 100 * (total - free) / total, "%.1f")
                gauge("memory_used_effective", 100 * (total - available) / total, "%.1f")
                swap = memory["SwapTotal:"]
                gauge("swap_utilization", swap > 0 ? 100 * (swap - memory["SwapFree:"]) / swap : 0, "%.1f")
            }
            gauge("processes", processes, "%.0f")
            printf "{\"time\":%s,\"metrics\":{%s},\"counters\":{%s}}\n", now, substr(metrics, 2), substr(counters, 2)
        }' - "$@"
}

# Add a sample to the spool, unless it was cut short because all of this is being ended.
sample() {
    line=$(read_sample)
    case $line in
    '{'*'}}') printf '%s\n' "$line" >>"$spool" ;;
    esac
    bound_spool
}

# --- keeping ---------------------------------------------------------------------------------------------------------

# Let the oldest go once the file is too long: down to three quarters, so that this is not done every time.
bound_spool() {
    # Nothing, where the counting was ended with all of this.
    size=$(wc -c <"$spool")
    [ "${size:-0}" -le "$SPOOL_BYTES" ] && return
    before=$(wc -l <"$spool")
    # The first line of what is left may be cut.
    tail -c "$((SPOOL_BYTES * 3 / 4))" "$spool" | sed 1d >"$spool.new" && mv "$spool.new" "$spool"
    dropped=$((dropped + before - $(wc -l <"$spool")))
}

forget() {
    sed "1,$1d" "$spool" >"$spool.new" && mv "$spool.new" "$spool"
}

# --- sending ---------------------------------------------------------------------------------------------------------

# A string as JSON; characters that cannot be printed become blanks.
json_string() {
    printf '"%s"' "$(printf '%s' "$1" | tr '[:cntrl:]' ' ' | sed 's/\\/\\\\/g; s/"/\\"/g')"
}

# Who this is, as the beginning of every body.
identity() {
    printf '{"server":%s,"hostname":%s' "$(json_string "$server")" "$(json_string "$hostname")"
    [ -n "$role" ] && printf ',"role":%s' "$(json_string "$role")"
    [ -n "$environment" ] && printf ',"environment":%s' "$(json_string "$environment")"
    [ -n "$labels" ] && printf ',"labels":{%s}' "$labels"
    printf ',"samples":['
}

add_label() {
    case $1 in
    ?*=*) labels="$labels${labels:+,}$(json_string "${1%%=*}"):$(json_string "${1#*=}")" ;;
    *) mistake "--label: '$1' is not of the form key=value" ;;
    esac
}

# Log a change of state, once.
report() {
    [ "$1" = "$state" ] && return
    state=$1
    log "$2" "$3"
}

# The human part of an error answer (RFC 9457 problem details), shortened.
explanation() {
    sed -n 's/.*"detail": *"\([^"]*\).*/\1/p' "$work/answer" 2>/dev/null | head -n 1 | cut -c 1-300
}

# Seconds that a Retry-After asks for, in numbers; a date counts as nothing.
retry_after() {
    tr -d '\r' <"$work/headers" | awk -v cap="$RETRY_AFTER_CAP_S" '
        tolower($1) == "retry-after:" && $2 ~ /^[0-9]+$/ { asked = $2 + 0 }
        END { print (asked + 0 > cap + 0 ? cap : asked + 0) }'
}

# Try one batch, for so many seconds. 0: dealt with; 1: kept, and $retry_s is the least time until the next try.
push() {
    head -n "$batch" "$spool" >"$work/batch"
    count=$(wc -l <"$work/batch")
    [ "$count" -gt 0 ] || return 0
    {
        identity
        paste -s -d , "$work/batch" | tr -d '\n'
        printf ']}'
    } >"$work/body"
    : >"$work/headers"
    : >"$work/answer"
    # The key goes in by a pipe: everybody can see a command line. In the background, so that a signal is heard.
    printf 'header = "Authorization: Bearer %s"\n' "$token" | curl -K - -sS -m "$1" -o "$work/answer" \
        -D "$work/headers" -w '%{http_code}' -H 'Content-Type: application/json' -H 'Expect:' \
        -A openmanager-agent.sh/1.0 --data-binary "@$work/body" "$url/api/ingest" \
        >"$work/status" 2>"$work/error" &
    child=$!
    # Told to end in mid-push, it is given up: whether it arrived is not known, and sending it twice does no harm.
    [ "$stopping" = 1 ] && [ "$1" = "$TIMEOUT_S" ] && end_child
    await_child
    status=$(cat "$work/status")
    retry_s=0
    case $status in
    2??)
        forget "$count"
        obey
        return 0
        ;;
    401 | 403)
        report waiting WARNING "cannot deliver, keeping samples: the token is not accepted (HTTP $status $(explanation))"
        return 1
        ;;
    413)
        if [ "$count" -gt 1 ]; then
            batch=$(((count + 1) / 2))
            return 0
        fi
        ;;
    408 | 429 | 5?? | 3??)
        retry_s=$(retry_after)
        report waiting WARNING "cannot deliver, keeping samples: HTTP $status $(explanation)"
        return 1
        ;;
    4??) ;;
    *)
        report waiting WARNING "cannot deliver, keeping samples: $(tr '\n' ' ' <"$work/error")"
        return 1
        ;;
    esac
    why=$(explanation)
    forget "$count"
    report "refused $status $why" ERROR "dropped $count samples: HTTP $status $why"
}

obey() {
    wish=$(sed -n 's/.*"next_push_s": *\([0-9]\{1,5\}\).*/\1/p' "$work/answer" | head -n 1)
    next_push_s=${wish:-0}
    [ "$next_push_s" -le 3600 ] || next_push_s=3600
    rejected=$(sed -n 's/.*"rejected": *\[\({[^}]*}\).*/\1/p' "$work/answer" | head -n 1 | cut -c 1-300)
    if [ -n "$rejected" ]; then
        report rejected WARNING "the server left out some values: $rejected"
        return
    fi
    lost=
    [ "$dropped" -gt 0 ] && lost="; $dropped samples did not fit in the spool"
    report delivering INFO "delivering to $url/api/ingest$lost"
}

# Empty the spool as far as the server takes it, unless it is to be left alone for now.
deliver() {
    [ "$(uptime_s)" -ge "$not_before" ] || return 1
    while [ -s "$spool" ] && [ "$stopping" = 0 ]; do
        if push "$TIMEOUT_S"; then
            failures=0
            continue
        fi
        failures=$((failures + 1))
        pause=$BACKOFF_CAP_S
        [ "$failures" -lt 6 ] && pause=$((1 << failures))
        # Half of it by chance, so that a fleet does not come back all at once.
        pause=$((pause - ($(date +%s) + $$) % (pause / 2 + 1)))
        [ "$pause" -ge "$retry_s" ] || pause=$retry_s
        not_before=$(($(uptime_s) + pause))
        return 1
    done
    [ ! -s "$spool" ]
}

# --- running ---------------------------------------------------------------------------------------------------------

# Seconds that nobody sets.
uptime_s() {
    read -r up _ </proc/uptime
    printf '%s' "${up%%.*}"
}

nap() {
    [ "$1" -gt 0 ] || return
    sleep "$1" &
    child=$!
    # What arrived before there was a child to kill:
    [ "$stopping" = 1 ] && end_child
    await_child
}

# By a signal that cannot be caught: a child that is still the shell's copy, not yet curl or sleep, would run our traps.
end_child() {
    [ -n "$child" ] && kill -KILL "$child" 2>/dev/null
}

# Twice, since a signal with a trap ends the first. What shells write about a child that was killed is no news.
await_child() {
    { wait "$child" || wait "$child" || :; } 2>/dev/null
    child=
}

# The folder is this process's own: a copy of the shell that a signal to the whole group met leaves it alone.
# shellcheck disable=SC2317  # the trap calls it
clean_up() {
    read -r self _ </proc/self/stat
    [ "$self" = "$$" ] || return
    end_child
    rm -rf "$work"
}

url=${OPENMANAGER_URL:-}
token=${OPENMANAGER_TOKEN:-}
interval=${OPENMANAGER_INTERVAL:-15}
server=${OPENMANAGER_SERVER:-}
role=${OPENMANAGER_ROLE:-}
environment=${OPENMANAGER_ENVIRONMENT:-}
folder=${OPENMANAGER_AGENT_SPOOL:-}
labels=
once=0
rest=${OPENMANAGER_LABELS:-}
while [ -n "$rest" ]; do
    add_label "${rest%%,*}"
    case $rest in
    *,*) rest=${rest#*,} ;;
    *) rest= ;;
    esac
done
while [ $# -gt 0 ]; do
    case $1 in
    --once) once=1 ;;
    -h | --help)
        usage
        exit 0
        ;;
    --url | --interval | --server | --role | --environment | --label | --spool)
        [ $# -gt 1 ] || mistake "$1: needs a value"
        case $1 in
        --url) url=$2 ;;
        --interval) interval=$2 ;;
        --server) server=$2 ;;
        --role) role=$2 ;;
        --environment) environment=$2 ;;
        --label) add_label "$2" ;;
        --spool) folder=$2 ;;
        esac
        shift
        ;;
    *) mistake "$1: no such option; --help lists them" ;;
    esac
    shift
done

case $url in
http://?* | https://?*) url=${url%/} url=${url%/api/ingest} ;;
*) mistake '--url or OPENMANAGER_URL: needs an http:// or https:// address' ;;
esac
case $token in
'' | *[!!-~]* | *[\"\\]*) mistake 'OPENMANAGER_TOKEN: missing, or not plain ASCII' ;;
esac
case $interval in
'' | 0* | *[!0-9]* | ?????*) mistake '--interval: must be 1 to 3600 whole seconds' ;;
esac
[ "$interval" -le 3600 ] || mistake '--interval: must be 1 to 3600 whole seconds'
hostname=$(uname -n | tr -cd ' -~')
[ -n "$server" ] || server=$(printf '%s' "$hostname" | tr -c 'A-Za-z0-9._:-' '-' | sed 's/^[._:-]*//' | cut -c 1-128)
case $server in
'' | [!A-Za-z0-9]* | *[!A-Za-z0-9._:-]*)
    mistake '--server: 1 to 128 letters, digits and . _ : - beginning with a letter or digit'
    ;;
esac
[ ${#server} -le 128 ] || mistake '--server: 1 to 128 letters, digits and . _ : - beginning with a letter or digit'
for program in awk curl df mktemp; do
    command -v "$program" >/dev/null 2>&1 || mistake "needs the program $program"
done

state='' dropped=0 failures=0 next_push_s=0 not_before=0 retry_s=0 stopping=0 child='' batch=$BATCH_SAMPLES
work=$(mktemp -d "${TMPDIR:-/tmp}/openmanager-agent.XXXXXX") || mistake 'cannot make a folder in TMPDIR or /tmp'
trap clean_up EXIT
trap 'stopping=1; end_child' TERM INT HUP
spool=$work/spool
if [ -n "$folder" ]; then
    spool=$folder/$server.jsonl
    { mkdir -p "$folder" && : >>"$spool"; } || mistake "--spool: cannot write to $folder"
    # A stop in mid-write leaves a broken line, to which nothing may be added.
    grep '^{.*}$' "$spool" >"$spool.new"
    mv "$spool.new" "$spool"
fi
: >>"$spool"

if [ "$once" = 1 ]; then
    sample
    deliver
    exit
fi

log INFO "sampling $server every $interval s"
due=$(uptime_s)
pushed=$((due - 3600))
while [ "$stopping" = 0 ]; do
    sample
    now=$(uptime_s)
    # Half an interval early is nearer to the wished time than the next sample would be.
    if [ "$((now - pushed))" -ge "$((next_push_s - interval / 2))" ]; then
        deliver && pushed=$now
    fi
    due=$((due + interval))
    now=$(uptime_s)
    # After a suspension, go on from now instead of catching up.
    [ "$due" -ge "$now" ] || due=$now
    [ "$stopping" = 1 ] || nap "$((due - now))"
done
# A last word to a server that listens; what it does not take stays in the spool. It takes a second at most, so
# nothing cuts it short: half a body would be refused, and what is refused is dropped.
trap '' TERM INT HUP
[ "$failures" = 0 ] && [ -s "$spool" ] && push 1
exit 0
