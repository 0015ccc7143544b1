import assert from "node:assert/strict";
import { mock, test } from "node:test";
import { from } from "./setup.mjs";

const { follow, parser } = await from("lib/stream.js");

const read = (pieces) => {
  const events = [];
  const push = parser((event) => events.push(event));
  pieces.forEach(push);
  return events;
};

const FEED = 'retry: 3000\n: open\n\nevent: metrics\nid: 1-0\ndata: {"a":1}\n\n: ping\n\nid: 2-0\nevent: bye\ndata: {"reason":\ndata: "window"}\n\n';

test("a feed reads the same however it is cut and whatever ends its lines", () => {
  const whole = read([FEED]);
  assert.deepEqual(whole, [
    { id: "1-0", event: "metrics", data: '{"a":1}' },
    { id: "2-0", event: "bye", data: '{"reason":\n"window"}' },
  ]);
  for (const text of [FEED, FEED.replaceAll("\n", "\r\n")]) {
    for (let at = 1; at < text.length; at += 1) assert.deepEqual(read([text.slice(0, at), text.slice(at)]), whole);
    assert.deepEqual(read([...text]), whole);
  }
});

test("comments and unfinished events say nothing, and an id stays until the next one", () => {
  assert.deepEqual(read([": ping\n\n", "event: metrics\ndata: {}\n"]), []);
  assert.deepEqual(read(["id: 7\ndata: a\n\ndata: b\n\n"]).map(({ id }) => id), ["7", "7"]);
});

test("the wait that the feed asks for is heard, nonsense is not", () => {
  const waits = [];
  const push = parser(() => {}, (ms) => waits.push(ms));
  push("retry: 3000\nretry: soon\n\n");
  assert.deepEqual(waits, [3000]);
});

test("where to ask may depend on how often nobody answered, and one answer starts the count anew", async () => {
  mock.timers.enable({ apis: ["setTimeout"] });
  mock.method(globalThis, "fetch", async (address) => {
    if (address.startsWith("https://live")) throw new TypeError("no route");
    return new Response(FEED, { headers: { "Content-Type": "text/event-stream" } });
  });
  const asked = [];
  const heard = [];
  const feed = follow({
    url: (failures) => {
      asked.push(failures);
      return failures < 3 ? "https://live.example.com/api/stream" : "/api/stream";
    },
    headers: () => ({}),
    onEvent: (name) => heard.push(name),
  });
  const settled = () => new Promise(setImmediate);
  for (let n = 0; n < 200 && asked.length < 5; n += 1) {
    await settled();
    mock.timers.tick(500);
  }
  feed.close();
  mock.reset();
  mock.timers.reset();
  assert.deepEqual(asked, [0, 1, 2, 3, 0]);
  assert.deepEqual(heard, ["metrics", "bye"]);
});
