// What views are made of: shapes (one for every status, so that no colour is needed to tell them apart), icons, menus and
// tabs, and loading with an error that stays where it is.

import { html, useEffect, useId, useLayoutEffect, useRef, useState } from "../vendor/preact.js";
import { get } from "./api.js";
import { t } from "./i18n.js";

// On a grid of 12.
const SHAPES = {
  healthy: html`<circle cx="6" cy="6" r="3.2" />`,
  warning: html`<path d="M6 1.2 11.3 10.6H.7Z" />`,
  critical: html`<path d="M6 .4 11.6 6 6 11.6.4 6Z" />`,
  offline: html`<rect x=".8" y=".8" width="10.4" height="10.4" rx="1.6" /><path class="cut" d="m3.9 3.9 4.2 4.2m0-4.2L3.9 8.1" />`,
  unknown: html`<circle class="ring" cx="6" cy="6" r="4.4" />`,
  maintenance: html`<path d="M3 1.6h2v8.8H3zM7 1.6h2v8.8H7z" />`,
};

/** The shape of a status; `label` says it to those who do not see it, unless a word stands beside it. */
export function Glyph({ status, label = false, size = 12 }) {
  const words = label ? t(`status.${status}`) : null;
  return html`<svg class=${`glyph s-${status}`} viewBox="0 0 12 12" width=${size} height=${size}
    role=${words ? "img" : null} aria-label=${words} aria-hidden=${words ? null : "true"}>${SHAPES[status] ?? SHAPES.unknown}</svg>`;
}

// On a grid of 20, drawn with lines.
const ICONS = {
  overview: "M3 3.5h5.5V9H3zM11.5 3.5H17v3.2h-5.5zM3 12h5.5v4.5H3zM11.5 9.7H17v6.8h-5.5z",
  servers: "M3 4h14v5H3zM3 11h14v5H3zM5.8 6.5h.01M5.8 13.5h.01M8.5 6.5h5M8.5 13.5h5",
  alerts: "M5 13.5V9a5 5 0 0 1 10 0v4.5l1.3 1.8H3.7zM8.3 17.3a1.8 1.8 0 0 0 3.4 0",
  record: "M2.5 14.5 7.5 9l3.2 3 6.6-7M13 4.7h4.5v4.4",
  settings: "M3 6h7M14 6h3M3 14h3M10 14h7M12 4v4M8 12v4",
  search: "M8.7 3.5a5.2 5.2 0 1 1 0 10.4 5.2 5.2 0 0 1 0-10.4M12.6 12.6l4 4",
  sun: "M10 6.6a3.4 3.4 0 1 1 0 6.8 3.4 3.4 0 0 1 0-6.8M10 2v1.6M10 16.4V18M2 10h1.6M16.4 10H18M4.4 4.4l1.1 1.1M14.5 14.5l1.1 1.1M4.4 15.6l1.1-1.1M14.5 5.5l1.1-1.1",
  moon: "M16.3 12.2A6.8 6.8 0 0 1 7.8 3.7a6.8 6.8 0 1 0 8.5 8.5Z",
  check: "m4 10.5 4 4 8-9",
  mute: "M5.4 11.5V9a4.6 4.6 0 0 1 7.4-3.7M14.6 9v4.5l1.3 1.8H6M8.3 17.3a1.8 1.8 0 0 0 3.4 0M3 3l14 14",
  undo: "M7 4 3.5 7.5 7 11M3.8 7.5h7.7a4.5 4.5 0 0 1 0 9H8",
  back: "M12.5 4 6.5 10l6 6",
  close: "m5 5 10 10M15 5 5 15",
  down: "m5 7.5 5 5 5-5",
  right: "m7.5 5 5 5-5 5",
  up: "m5 12.5 5-5 5 5",
  copy: "M7 7h9v10H7zM4 13V3h9",
  plus: "M10 4v12M4 10h12",
  edit: "m4 16 .8-3.4 8.6-8.6 2.6 2.6-8.6 8.6zM11.6 5.8l2.6 2.6",
  trash: "M4 5.5h12M8 5.5V3.5h4v2M5.5 5.5l.8 11h7.4l.8-11M8.5 8.5v5M11.5 8.5v5",
  more: "M4.5 10h.01M10 10h.01M15.5 10h.01",
  user: "M10 3.5a3.2 3.2 0 1 1 0 6.4 3.2 3.2 0 0 1 0-6.4M3.8 17a6.2 6.2 0 0 1 12.4 0",
  out: "M8 3.5H4v13h4M8.5 10H17M13.5 6.5 17 10l-3.5 3.5",
  keys: "M2.5 5.5h15v9h-15zM5.5 8.5h.01M8.5 8.5h.01M11.5 8.5h.01M14.5 8.5h.01M6.5 11.5h7",
  ask: "M3.5 4h13v9.5H9L5.5 17v-3.5h-2z",
  send: "M10 16V4M5 9l5-5 5 5",
  refresh: "M16 10a6 6 0 1 1-1.8-4.3M16.5 3v3.5H13",
};

/** The icon of a control; a name for it is the control's business. */
export const Icon = ({ name, size = 20 }) =>
  html`<svg class="icon" viewBox="0 0 20 20" width=${size} height=${size} aria-hidden="true"><path d=${ICONS[name]} /></svg>`;

/** The product's mark: measured in ink, what comes in violet. */
export const Mark = () => html`<svg class="mark" viewBox="0 0 24 24" width="24" height="24" aria-hidden="true">
  <path class="ink" d="M3.5 17 9 11l4 3.5 2.2-2.6" /><path class="ahead" d="m16.6 10.2 3.9-4.7" /></svg>`;

/**
 * An answer of the API in `data`; a failure in `error` leaves the last answer standing. `path` null asks nothing; it is
 * asked again every `every` s and when `stamp` changes, and what was answered stays as long as `key` is the same.
 */
export function useLoad(path, { every = 0, stamp = 0, key = path } = {}) {
  const [state, set] = useState({ data: null, error: null, key });
  const [turn, again] = useState(0);
  useEffect(() => {
    if (!path) return undefined;
    let gone = false;
    get(path).then(
      (data) => gone || set({ data, error: null, key }),
      (error) => gone || set((before) => ({ data: before.key === key ? before.data : null, error, key })),
    );
    return () => { gone = true; };
  }, [path, stamp, turn]);
  useEffect(() => {
    if (!every) return undefined;
    const timer = setInterval(() => document.hidden || again((n) => n + 1), every * 1000);
    return () => clearInterval(timer);
  }, [every]);
  const mine = state.key === key;
  return {
    data: mine ? state.data : null,
    error: mine ? state.error : null,
    set: (data) => set({ data, error: null, key }),
    reload: () => again((n) => n + 1),
  };
}

/** What went wrong, in the API's words, where it went wrong. */
export function Problem({ error, retry }) {
  if (!error) return null;
  const wait = error.retryAfter ? ` · ${t("parts.wait", error.retryAfter)}` : "";
  return html`<div class="problem" role="alert">
    <span>${said(error)}${wait}</span>
    ${retry && html`<button class="button small" type="button" onClick=${retry}>${t("parts.retry")}</button>`}
  </div>`;
}

export function said(error) {
  if (error.status === 0) return t("parts.unreachable");
  return error.detail || error.title || String(error);
}

/** A button that opens a list of actions: arrows move, Escape and a click elsewhere close. */
export function Menu({ label, icon, text, items, act, class: name = "button", children }) {
  const [open, set] = useState(false);
  const root = useRef(null);
  const id = useId();
  // Before anybody sees the menu: a key pressed right after the one that opened it is meant for it.
  useLayoutEffect(() => {
    if (!open) return undefined;
    root.current.querySelector(".menu button")?.focus();
    const close = (event) => root.current?.contains(event.target) || set(false);
    document.addEventListener("pointerdown", close);
    return () => document.removeEventListener("pointerdown", close);
  }, [open]);
  const leave = () => { set(false); root.current.querySelector("button").focus(); };
  const key = (event) => {
    if (!open) return;
    const all = [...root.current.querySelectorAll(".menu button, .menu input")];
    const at = all.indexOf(document.activeElement);
    if (event.key === "Escape") { event.stopPropagation(); leave(); }
    else if (event.key === "ArrowDown" || event.key === "ArrowUp") {
      if (document.activeElement.matches("input")) return;
      event.preventDefault();
      all[(at + (event.key === "ArrowDown" ? 1 : all.length - 1)) % all.length]?.focus();
    }
  };
  return html`<div class="menu-root" ref=${root} onKeyDown=${key}>
    <button class=${name} type="button" aria-label=${label} title=${label} aria-expanded=${String(open)} aria-controls=${open ? id : null} data-act=${act}
      onClick=${() => set(!open)}>${icon}${text}</button>
    ${open && html`<div class="menu" id=${id} role="group" aria-label=${label}>
      ${items.map((item) => html`<button type="button" onClick=${() => { leave(); item.run(); }}>${item.text}</button>`)}
      ${children && children(leave)}
    </div>`}
  </div>`;
}

/** Tabs as buttons of one group: arrows move, the chosen one is pressed. */
export function Tabs({ label, tabs, value, set }) {
  const move = (event) => {
    const step = { ArrowRight: 1, ArrowLeft: -1 }[event.key];
    if (!step) return;
    const at = tabs.findIndex((tab) => tab.key === value);
    const next = tabs[(at + step + tabs.length) % tabs.length];
    event.preventDefault();
    set(next.key);
    event.currentTarget.querySelector(`[data-tab="${next.key}"]`)?.focus();
  };
  return html`<div class="tabs" role="tablist" aria-label=${label} onKeyDown=${move}>
    ${tabs.map((tab) => html`<button type="button" role="tab" data-tab=${tab.key} aria-selected=${String(tab.key === value)}
      tabindex=${tab.key === value ? 0 : -1} onClick=${() => set(tab.key)}>
      ${tab.text}${tab.count !== undefined && html` <span class="count">${tab.count}</span>`}</button>`)}
  </div>`;
}
