import assert from "node:assert/strict";
import { beforeEach, test } from "node:test";
import { from } from "./setup.mjs";

const store = await from("lib/store.js");
const NOW = Math.floor(Date.now() / 1000);
const COLUMNS = ["cpu_utilization", "memory_used_effective", "filesystem_utilization", "disk_busy", "load_5m", "network"].map((key) => ({ key, unit: "%", scale: 10 }));

const said = (status, more = {}) => ({ status, risk: 20, failure: 20, ...more });
const next = (likely_s, skilled = true) => ({ metric: "filesystem_utilization", earliest_s: 60, likely_s, latest_s: null, grid_s: 60, skilled });
const machine = (id, verdict, more = {}) => ({ id, role: "web", labels: {}, seen: NOW, values: [420, 600, 840, 0, 0, 0], recent: [40, 41, 42], said: verdict, ...more });
const alarm = (server, more = {}) => ({ id: `${server}|cpu|1`, server, rule: "cpu", state: "firing", severity: "critical", fired: NOW, suppressed: "", by: "", ...more });

const FLEET = [
  machine("db-01", said("offline")), machine("web-01", said("critical", { risk: 940 })), machine("web-02", said("warning", { next: next(2400) })),
  machine("web-03", said("healthy", { next: next(5000) })), machine("web-07", said("healthy", { next: next(600, false) })), machine("web-04", said("healthy"), { seen: NOW - 400 }), machine("web-05", null), machine("web-06", said("maintenance", { risk: 990 })),
];
const snapshot = (servers, alerts = []) => store.apply("snapshot", { version: "1", time: NOW, cadence_s: 1, columns: COLUMNS, servers, alerts, models: {} });

beforeEach(() => store.reset());

test("every server is in one count, and the counts add up", () => {
  snapshot(FLEET);
  const c = store.counts.value;
  assert.deepEqual([c.offline, c.critical, c.warning, c.unknown, c.maintenance, c.healthy], [1, 1, 1, 2, 1, 2]);
  assert.equal(store.STATUSES.reduce((sum, status) => sum + c[status], 0), c.total);
  assert.equal(c.attention, 5);
  // Each server is in one group.
  assert.equal(c.attention + [...c.calm.values()].reduce((a, b) => a + b, 0), c.total);
});

test("soon is who is likely to fail within the hour, by a forecast that has earned it, and nobody who is down or silent", () => {
  snapshot(FLEET);
  assert.deepEqual(FLEET.map(({ id }) => id).filter((id) => store.soon(store.server(id).value)), ["web-01", "web-02"]);
  assert.equal(store.counts.value.soon, 2);
});

test("silence is no health: values that are minutes old count as no data", () => {
  snapshot(FLEET);
  const quiet = store.server("web-04").value;
  assert.equal(quiet.status, "unknown");
  assert.equal(store.silent(quiet), true);
  assert.equal(store.silent(store.server("web-05").value), false);
});

test("a server that sends every ten minutes may be silent for as long as its verdict allows", () => {
  snapshot([machine("batch-01", said("healthy", { allowed_s: 1800 }), { seen: NOW - 400 }), machine("batch-02", said("healthy", { allowed_s: 360 }), { seen: NOW - 400 })]);
  assert.deepEqual(["batch-01", "batch-02"].map((id) => store.server(id).value.status), ["healthy", "unknown"]);
});

test("a tick wakes those who changed and nobody else, and renders no list anew", () => {
  snapshot(FLEET);
  const [map, before] = [store.servers.value, store.server("web-02").value];
  store.apply("metrics", { time: NOW + 1, servers: { "web-01": [500, 600, 840, 0, 0, 0] }, seen: { "web-01": NOW + 1 }, key: false });
  assert.equal(store.servers.value, map);
  assert.equal(store.server("web-02").value, before);
  assert.equal(store.value(store.server("web-01").value, store.CPU), 50);
  assert.equal(store.server("web-01").value.recent.at(-1), 50);
});

test("what is not known is null, never zero", () => {
  snapshot([machine("web-01", null, { values: [null, 0, 10, null, null, null] })]);
  const record = store.server("web-01").value;
  assert.deepEqual([store.CPU, store.MEMORY, store.DISK].map((column) => store.value(record, column)), [null, 0, 1]);
});

test("a server that appears is counted, and one that is gone from a snapshot is not", () => {
  snapshot(FLEET.slice(0, 2));
  store.apply("prediction", { minute: NOW, servers: { "new-01": said("healthy") } });
  assert.equal(store.counts.value.total, 3);
  snapshot(FLEET.slice(0, 1));
  assert.equal(store.counts.value.total, 1);
  assert.equal(store.server("new-01"), undefined);
});

test("alerts stand on one shelf each; those that have not fired on none", () => {
  snapshot(FLEET, [alarm("a"), alarm("b", { state: "acknowledged" }), alarm("c", { suppressed: "silence x" }), alarm("d", { fired: null, state: "pending" })]);
  const { open, acknowledged, silenced } = store.counts.value;
  assert.deepEqual([open, acknowledged, silenced], [1, 1, 1]);
  store.apply("alert", { transitions: [{ what: "resolved", alert: alarm("a") }, { what: "firing", alert: alarm("d") }] });
  assert.deepEqual(store.shelves.value.open.map(({ server }) => server), ["d"]);
});

test("what somebody does shows at once, and stays until the feed says the same or it is taken back", () => {
  snapshot(FLEET, [alarm("a"), alarm("b")]);
  store.wish("a|cpu|1", { acknowledged: NOW, by: "ann" });
  assert.equal(store.counts.value.acknowledged, 1);
  store.apply("alert", { transitions: [{ what: "repeated", alert: alarm("a") }] });
  assert.equal(store.counts.value.acknowledged, 1);
  store.apply("alert", { transitions: [{ what: "acknowledged", alert: alarm("a", { state: "acknowledged", acknowledged: NOW - 9, by: "ann" }) }] });
  assert.equal(store.wishes.value.size, 0);
  assert.equal(store.counts.value.acknowledged, 1);
  store.wish("a|cpu|1", { acknowledged: 0, by: "" });
  assert.deepEqual([store.counts.value.open, store.counts.value.acknowledged], [2, 0]);
  store.wish("a|cpu|1", null);
  store.wish("b|cpu|1", { suppressed: "silence" });
  assert.equal(store.counts.value.silenced, 1);
  store.wish("b|cpu|1", null);
  assert.deepEqual([store.counts.value.open, store.counts.value.silenced], [1, 0]);
});

test("a server whose past is not known yet has no risk to be shown, nor counts as likely to fail", () => {
  snapshot([machine("new-01", said("healthy", { risk: 990, failure: 990, missing: { history_minutes: 200 } }))]);
  const record = store.servers.value.get("new-01");
  assert.equal(record.said.risk, null);
  assert.equal(record.said.failure, null);
  assert.equal(store.soon(record), false);
  store.apply("prediction", { minute: NOW, servers: { "new-01": said("healthy", { risk: 990 }) } });
  assert.equal(store.servers.value.get("new-01").said.risk, 990);
});
