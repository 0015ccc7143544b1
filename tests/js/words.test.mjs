import assert from "node:assert/strict";
import { test } from "node:test";
import { from } from "./setup.mjs";

const { ago, bytes, duration, now, number, percent, range, setLang } = await from("lib/i18n.js");
const { crossing, ends, aligned } = await from("lib/charts.js");
const { read } = await from("lib/router.js");

test("durations stay in minutes up to 99, so that columns stay narrow", () => {
  assert.deepEqual([0, 59, 60, 99 * 60, 100 * 60, 47 * 3600, 49 * 3600].map(duration), ["0 s", "59 s", "1 min", "99 min", "2 h", "47 h", "2 d"]);
});

test("a range has one unit; without a latest it says so", () => {
  assert.equal(range(1740, 3240), "29–54 min");
  assert.equal(range(3600, 3 * 3600), "1–3 h");
  assert.equal(range(1800, null), "30 min or later");
});

test("what is not known is a dash, in every kind", () => {
  for (const said of [number(null, "%"), number(undefined, "B/s"), percent(NaN), bytes(null), duration(null), ago(null), range(null, 5)]) assert.equal(said, "–");
  assert.equal(number(0, "%"), "0%");
});

test("sizes are in steps of 1024 and never four digits long", () => {
  assert.deepEqual([999, 1000, 81_234, 5 * 1024 ** 3].map(bytes), ["999 B", "1.0 KB", "79 KB", "5.0 GB"]);
});

test("the same in Korean", async () => {
  await setLang("ko");
  assert.match(duration(2400), /^40[^\x00-\x7f]+$/);
  assert.match(ago(now.value - 2400), /^(39|40)[^\x00-\x7f]+ [^\x00-\x7f]+$/);
  await setLang("en");
});

test("a path meets the limit between two points, and not where it is over it already", () => {
  assert.equal(crossing([[0, 80], [60, 85], [120, 95]], 90), 90);
  assert.equal(crossing([[0, 95], [60, 97]], 90), null);
  assert.equal(crossing([[0, 80], [60, 85]], 90), null);
});

test("the fan begins at the last measured point, and gaps stay gaps", () => {
  const { data, last } = aligned({ start: 0, step: 60, values: [1, null, 3, null] }, { at: 120, step: 60, path: [4, 5], low: [3, 4], high: [5, 6] });
  assert.equal(last, 2);
  assert.deepEqual(data[1].slice(0, 4), [1, null, 3, null]);
  assert.deepEqual([data[2][2], data[3][2], data[4][2]], [3, 3, 3]);
  assert.equal(data[2].at(-1), 5);
});

test("noise is no drama: an axis of percent spans twenty points at least and ends at a hundred", () => {
  assert.deepEqual(ends([[51, 52]], "%", 90), [40, 60]);
  assert.deepEqual(ends([[99.5]], "%", 90), [80, 100]);
  assert.deepEqual(ends([[null]], "%", 90), [0, 100]);
});

test("addresses lead to views, whatever stands in them", () => {
  assert.deepEqual(read("/servers/web%2F01?metric=cpu").params, { id: "web/01" });
  assert.deepEqual(["/", "/servers", "/alerts?tab=silenced", "/record", "/settings/keys"].map((path) => read(path).name), ["overview", "servers", "alerts", "record", "settings"]);
  assert.deepEqual(["/nowhere", "/servers/%E0%A4%A"].map((path) => read(path).name), ["missing", "missing"]);
});
