// What alerts and other views are made of: loading with an error that stays where it is, menus and tabs.

import { html, useEffect, useId, useRef, useState } from "../vendor/preact.js";
import { get } from "../lib/api.js";
import { t } from "../lib/i18n.js";

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
  const wait = error.retryAfter ? ` ${t("parts.wait", error.retryAfter)}` : "";
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
  useEffect(() => {
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
