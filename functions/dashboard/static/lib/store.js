// What is known of the fleet, as the feed tells it, and every count of the page: no part of it counts by itself.
//
// A tick replaces the records of the servers that changed and wakes only what reads them; nothing is rendered anew for
// it. What changes once a minute (verdicts) or seldom (servers, alerts) has signals of its own.

import { batch, computed, signal } from "../vendor/preact.js";
import { now } from "./i18n.js";

export { now };

/** The columns of a record's `values`. */
export const CPU = 0, MEMORY = 1, DISK = 2, BUSY = 3, LOAD = 4, NETWORK = 5;
export const STATUSES = ["offline", "critical", "warning", "unknown", "maintenance", "healthy"];
// Samples this old (s) are no news any more, where a verdict does not say how long its server may be silent: one that
// pushes once a minute and missed two.
const SILENT_S = 180;
// "Soon": the middle of a forecast that has earned it meets the limit, or the risk of the next half hour is as good as a coin's.
const SOON_S = 3600;
const LIKELY = 500;
const DELAYED = 3;
const LOST = 8;
const RING = 40;

/** Map id → record {id, role, environment, stage, hostname, labels, values, recent, seen, said, status}. It is a new
 *  one only when servers come or go; for what changes with a tick read `server(id)`. */
export const servers = signal(new Map());
/** Alerts that are not resolved, as GET /api/alerts has them. */
export const alerts = signal([]);
export const models = signal({});
export const columns = signal([]);
/** Goes up when verdicts or statuses change, which is about once a minute. */
export const judged = signal(0);
/** The minute (s) of the last round of verdicts; new with every round, and after a gap. */
export const round = signal(0);
/** Goes up with every tick. */
export const ticked = signal(0);
/** {state: "connecting"|"live"|"delayed"|"lost", since}: whether what is shown is true now; since when (s) if not. */
export const link = signal({ state: "connecting", since: Date.now() / 1000 });
/** Whether a first picture of the fleet has come. */
export const arrived = signal(false);
/** Why the last attempt to reach the feed failed (an ApiError), or null. */
export const trouble = signal(null);
/** The version that answers, and whether it is another one than this page's. */
export const version = signal("");
/** The stage of this deployment, "" where it is not said. */
export const stage = signal("");
export const outdated = signal(false);
/** What somebody did that the feed has not confirmed yet: alert id → the fields it will have. */
export const wishes = signal(new Map());
/** Why the last thing asked of an alert was refused: alert id → words, shown where it was asked. */
export const refusals = signal(new Map());

const cells = new Map();
const heard = { at: 0, server: 0, cadence: 1 };

/** The signal of one server's record; undefined where it is not known. */
export const server = (id) => cells.get(id);

/** A measured value in its unit, null where it is not known. */
export function value(record, column) {
  const raw = record?.values?.[column];
  return raw === null || raw === undefined ? null : raw / (columns.peek()[column]?.scale ?? 1);
}

/** Now by the feed's clock (s): it stands while nothing is heard, for silence here is no silence of the servers. */
const feedNow = () => heard.server;

const allowed = (record) => record.said?.allowed_s ?? SILENT_S;

function judge(record, at) {
  const said = record.said?.status ?? "unknown";
  if (said === "offline" || said === "maintenance") return said;
  return at - record.seen > allowed(record) ? "unknown" : said;
}

/** One of STATUSES. */
export const statusOf = (record) => record?.status ?? "unknown";

/** Orders records by their names, where nothing else does: as people do it takes a hundred times as long. */
export const byId = (a, b) => (a.id < b.id ? -1 : 1);

/** Whether a server is silent without being called down yet. */
export const silent = (record) => record.status === "unknown" && feedNow() - record.seen > allowed(record);

/** Seconds since a server's newest sample. */
export const silence = (record) => Math.max(0, Math.round(Date.now() / 1000 - record.seen));

/** Whether it may well fail within the hour, by the models. */
export function soon(record) {
  const { status, said } = record;
  if (!said || status === "offline" || status === "maintenance" || status === "unknown") return false;
  const { skilled = false, likely_s: likely = null } = said.next ?? {};
  return (skilled && likely !== null && likely <= SOON_S) || (said.risk ?? 0) >= LIKELY;
}

/** Where an alert belongs: "open", "acknowledged", "silenced", or null while it has not fired. */
export function shelf(alert) {
  if (!alert.fired) return null;
  if (alert.suppressed) return "silenced";
  // While it recovers or nothing is known its state says that; whoever took care of it still does.
  // Before the round has carried it out, only the state says so; 0 is that somebody has just given it back.
  return alert.acknowledged || (alert.acknowledged !== 0 && alert.state === "acknowledged") ? "acknowledged" : "open";
}

/** The alerts with what was asked for and is not confirmed yet, by shelf. */
export const shelves = computed(() => {
  const found = { open: [], acknowledged: [], silenced: [] };
  for (const alert of alerts.value) {
    const wish = wishes.value.get(alert.id);
    const shown = wish ? { ...alert, ...wish } : alert;
    found[shelf(shown)]?.push(shown);
  }
  return found;
});

/** Every count that the page shows. */
export const counts = computed(() => {
  judged.value;
  const found = Object.fromEntries(STATUSES.map((status) => [status, 0]));
  // By role, those that need no attention.
  const calm = new Map();
  let likely = 0;
  for (const cell of servers.value.values()) {
    found[cell.status] += 1;
    likely += soon(cell);
    if (cell.status === "healthy" || cell.status === "maintenance") calm.set(cell.role || "", (calm.get(cell.role || "") ?? 0) + 1);
  }
  const { open, acknowledged, silenced } = shelves.value;
  return {
    ...found,
    total: servers.value.size,
    soon: likely,
    attention: found.offline + found.critical + found.warning + found.unknown,
    calm,
    open: open.length, acknowledged: acknowledged.length, silenced: silenced.length,
  };
});

function put(record) {
  servers.peek().set(record.id, record);
  cells.get(record.id).value = record;
}

/** Until a server's past is known, what the models make of it is no risk to be shown. */
const trusted = (said) => (said?.missing?.history_minutes > 0 ? { ...said, risk: null, failure: null } : said ?? null);

/** Takes in what the feed said. */
export function apply(event, data) {
  const take = { snapshot, metrics, prediction, alert, model }[event];
  if (take) batch(() => take(data));
}

function snapshot(data) {
  hear(data.time, data.cadence_s);
  columns.value = data.columns;
  models.value = data.models ?? {};
  stage.value = data.stage ?? "";
  const found = new Map();
  for (const each of data.servers) {
    const record = { recent: [], labels: {}, ...each, said: trusted(each.said) };
    record.status = judge(record, data.time);
    found.set(record.id, record);
    if (cells.has(record.id)) cells.get(record.id).value = record;
    else cells.set(record.id, signal(record));
  }
  for (const id of cells.keys()) if (!found.has(id)) cells.delete(id);
  servers.value = found;
  alerts.value = data.alerts;
  settle();
  version.value ||= data.version ?? "";
  if (data.version && data.version !== version.value) outdated.value = true;
  judged.value += 1;
  round.value = data.time;
  ticked.value += 1;
  arrived.value = true;
}

function metrics({ time, servers: changed, seen = {}, key }) {
  hear(time);
  const minute = Math.floor(time / 60);
  const scale = columns.peek()[CPU]?.scale ?? 1;
  const known = servers.peek();
  let joined = false;
  // A thousand of them come at once: each record is copied once, and then written to.
  for (const id in changed) {
    const values = changed[id];
    const before = known.get(id);
    if (!before) {
      joined = true;
      join(id, values, seen[id] ?? time);
      continue;
    }
    const record = { ...before };
    record.values = values;
    if (seen[id] !== undefined) record.seen = seen[id];
    draw(record, before, values[CPU] === null ? null : Math.round(values[CPU] / scale), minute);
    put(record);
  }
  if (joined) servers.value = new Map(servers.peek());
  if (joined || key) restate(time);
  ticked.value += 1;
}

/** Puts the newest value among the last minutes as the present one's, and says which minute (since 1970) that is. */
function draw(record, { recent, seen, drawn }, share, minute) {
  const last = record.drawn = drawn ?? Math.floor(seen / 60);
  if (recent.length && minute <= last) {
    // The same list where nothing changed, so that nobody draws it anew.
    if (recent.at(-1) === share) return;
    record.recent = recent.slice();
    record.recent[recent.length - 1] = share;
    return;
  }
  const gap = recent.length ? new Array(Math.min(RING, minute - last - 1)).fill(null) : [];
  record.recent = [...recent, ...gap, share].slice(-RING);
  record.drawn = minute;
}

/** A server that was not there before; the next snapshot says more of it. */
function join(id, values, seen) {
  const record = { id, role: "", environment: "", stage: "", hostname: "", labels: {}, values, seen, recent: [], said: null, status: "unknown" };
  cells.set(id, signal(record));
  servers.peek().set(id, record);
}

function prediction({ minute, servers: said }) {
  hear(minute);
  let joined = false;
  for (const [id, verdict] of Object.entries(said)) {
    if (!servers.peek().has(id)) {
      joined = true;
      join(id, [], 0);
    }
    const record = { ...servers.peek().get(id), said: trusted({ minute, ...verdict }) };
    record.status = judge(record, feedNow());
    put(record);
  }
  if (joined) servers.value = new Map(servers.peek());
  round.value = minute;
  judged.value += 1;
}

function restate(at) {
  let changed = false;
  for (const record of servers.peek().values()) {
    const status = judge(record, at);
    if (status !== record.status) {
      changed = true;
      put({ ...record, status });
    }
  }
  if (changed) judged.value += 1;
}

const key = (alert) => `${alert.server}|${alert.rule}`;
const OVER = new Set(["resolved", "cleared"]);

function alert({ transitions }) {
  const found = new Map(alerts.peek().map((each) => [key(each), each]));
  for (const { what, alert: changed } of transitions) {
    if (OVER.has(what)) found.delete(key(changed));
    else found.set(key(changed), changed);
  }
  alerts.value = [...found.values()];
  settle();
}

/** Drops wishes that have come true, and those of alerts that are no more. */
function settle() {
  if (!wishes.peek().size) return;
  const open = new Map(alerts.peek().map((each) => [each.id, each]));
  const left = [...wishes.peek()].filter(([id, wish]) => open.has(id) && Object.keys(wish).some((name) => !granted(name, open.get(id)[name], wish[name])));
  if (left.length !== wishes.peek().size) wishes.value = new Map(left);
}

// When somebody took it, and what the silence is called, is for the API to say.
const granted = (name, is, asked) => (name === "acknowledged" || name === "suppressed" ? !is === !asked : (is || "") === (asked || ""));

/** Shows an alert as it will be; null takes that back. */
export const wish = (id, fields) => keep(wishes, id, fields);

/** Says at an alert why something was refused; null takes that back. */
export const refuse = (id, words) => keep(refusals, id, words);

function keep(map, id, value) {
  const next = new Map(map.peek());
  if (value) next.set(id, value);
  else next.delete(id);
  map.value = next;
}

function model(data) {
  models.value = data.models;
}

/** A sign of life of the feed, with its clock (s) and how often it gives one (s) where it says so. */
export function hear(time, cadence) {
  heard.at = performance.now();
  if (time) heard.server = Math.max(heard.server, time);
  if (cadence) heard.cadence = cadence;
  if (link.peek().state !== "live") link.value = { state: "live", since: Date.now() / 1000 };
}

/** How long (s) nothing was heard. */
const quiet = () => (performance.now() - heard.at) / 1000;

function watch() {
  now.value = Math.floor(Date.now() / 1000);
  if (!heard.at) return;
  const gone = quiet();
  const state = gone > LOST * heard.cadence ? "lost" : gone > DELAYED * heard.cadence ? "delayed" : "live";
  if (state === "live") heard.server = Math.max(heard.server, heard.server + 1 - Math.min(1, gone));
  if (state !== link.peek().state) {
    link.value = { state, since: Math.round(Date.now() / 1000 - gone) };
    return state;
  }
  if (now.peek() % 10 === 0 && state === "live") batch(() => restate(feedNow()));
  return null;
}

/** Starts the clock; `onLost` is called once each time the feed falls silent. Answers a function that stops it. */
export function start(onLost = () => {}) {
  const timer = setInterval(() => {
    if (watch() === "lost") onLost();
  }, 1000);
  return () => clearInterval(timer);
}

/** Forgets everything, as when somebody logs out. */
export function reset() {
  batch(() => {
    cells.clear();
    servers.value = new Map();
    alerts.value = [];
    wishes.value = new Map();
    arrived.value = false;
    trouble.value = null;
    heard.at = heard.server = 0;
    link.value = { state: "connecting", since: Date.now() / 1000 };
    judged.value += 1;
  });
}
