// The keyboard: single keys, never with modifiers and never while somebody types; ⌘K or Ctrl+K opens the palette.
// Loaded at the first key that is pressed.

import { go } from "./router.js";

// After g.
const PLACES = { o: "/", s: "/servers", a: "/alerts", r: "/record" };
const PREFIX_MS = 1200;

/** What `?` lists: the words' keys, and the keys. */
export const LIST = [
  ["shortcut.search", ["/"]], ["shortcut.palette", ["⌘K", "Ctrl K"]],
  ["shortcut.overview", ["g", "o"]], ["shortcut.servers", ["g", "s"]], ["shortcut.alerts", ["g", "a"]], ["shortcut.record", ["g", "r"]],
  ["shortcut.move", ["j", "k"]], ["shortcut.open", ["Enter"]], ["shortcut.acknowledge", ["a"]], ["shortcut.silence", ["s"]],
  ["shortcut.ask", ["."]], ["shortcut.theme", ["t"]], ["shortcut.help", ["?"]], ["shortcut.close", ["Esc"]],
];

// When g was pressed; long ago to begin with, or the first second of a page would be one after g.
let prefixed = -Infinity;
const bound = new Map();

/** What a key does besides; answers a function that takes it back. The last one bound goes first. */
export function bind(key, run) {
  const runs = bound.get(key) ?? [];
  bound.set(key, [...runs, run]);
  return () => bound.set(key, bound.get(key).filter((each) => each !== run));
}

const typing = (target) => target.closest?.("input, textarea, select, [contenteditable]");

/** Moves the focus along everything marked data-row, which are in the order they are shown. */
function move(step) {
  const rows = [...document.querySelectorAll("[data-row]")].filter((row) => row.offsetParent !== null);
  if (!rows.length) return;
  const at = rows.findIndex((row) => row === document.activeElement || row.contains(document.activeElement));
  const next = rows[at < 0 ? (step > 0 ? 0 : rows.length - 1) : Math.max(0, Math.min(rows.length - 1, at + step))];
  const target = next.matches("a, button, [tabindex]") ? next : next.querySelector("a, button");
  target?.focus();
  next.scrollIntoView({ block: "nearest" });
}

/** Acknowledges or silences the focused row: its button says so by data-act. */
function act(name) {
  document.activeElement?.closest("[data-row]")?.querySelector(`[data-act="${name}"]`)?.click();
}

const ACTIONS = { j: () => move(1), k: () => move(-1), a: () => act("acknowledge"), s: () => act("silence") };

export function press(event) {
  if (event.isComposing) return undefined;
  if ((event.metaKey || event.ctrlKey) && !event.altKey && event.key.toLowerCase() === "k") return run("palette", event);
  if (event.metaKey || event.ctrlKey || event.altKey) return undefined;
  if (typing(event.target)) return undefined;
  const { key } = event;
  const now = performance.now();
  if (now - prefixed < PREFIX_MS && PLACES[key]) {
    prefixed = -Infinity;
    event.preventDefault();
    return go(PLACES[key]);
  }
  prefixed = key === "g" ? now : -Infinity;
  return run(key, event);
}

function run(key, event) {
  const runs = bound.get(key);
  const chosen = runs?.length ? runs.at(-1) : ACTIONS[key];
  if (!chosen) return;
  if (key !== "Escape") event.preventDefault();
  chosen(event);
}
