// What lies above the page: the palette, the list of keys, and what was just done with a way back.

import { html, render, signal, useEffect, useRef, useState } from "../vendor/preact.js";
import { logOut } from "../lib/api.js";
import { hush, toast } from "../lib/actions.js";
import { Glyph, Icon } from "../lib/ui.js";
import { lang, setLang, setTheme, t, theme } from "../lib/i18n.js";
import { LIST } from "../lib/keys.js";
import { go, serverPath } from "../lib/router.js";
import { byId, servers, shelves, STATUSES } from "../lib/store.js";
import { whatOf } from "./alert-rows.js";
import "./forms.js";

const MOST = 12;
const opened = signal("");

/** Opens "palette" or "shortcuts". */
export const show = (name) => { opened.value = name; };
const close = () => { opened.value = ""; };

function Overlays() {
  return html`
    ${opened.value === "palette" && html`<${Dialog} label=${t("find.title")}><${Palette} /><//>`}
    ${opened.value === "shortcuts" && html`<${Dialog} label=${t("shortcut.title")}><${Shortcuts} /><//>`}
    <${Toast} />`;
}

function Dialog({ label, children }) {
  const root = useRef(null);
  useEffect(() => {
    const before = document.activeElement;
    root.current.showModal();
    return () => before?.isConnected && before.focus();
  }, []);
  return html`<dialog ref=${root} aria-label=${label} onClose=${close} onCancel=${close}
    onClick=${(event) => event.target === root.current && close()}>${children}</dialog>`;
}

/** What the words typed may mean: servers, alerts, places and commands. */
function found(words) {
  const all = words.toLowerCase().split(/\s+/).filter(Boolean);
  const fits = (...texts) => all.every((word) => texts.some((text) => text && text.toLowerCase().includes(word)));
  const rank = (record) => STATUSES.indexOf(record.status);
  const machines = [...servers.peek().values()]
    .filter((s) => fits(s.id, s.role, s.hostname, t(`status.${s.status}`), ...Object.values(s.labels ?? {})))
    .sort((a, b) => rank(a) - rank(b) || byId(a, b))
    .map((s) => ({ mark: html`<${Glyph} status=${s.status} />`, text: s.id, note: t(`status.${s.status}`), run: () => go(serverPath(s.id)) }));
  const alerts = shelves.peek().open
    .filter((a) => all.length && fits(a.server, a.rule, whatOf(a)))
    .map((a) => ({ mark: html`<${Icon} name="alerts" size=${16} />`, text: `${a.server} · ${whatOf(a)}`, note: t("nav.alerts"), run: () => go(serverPath(a.server)) }));
  const commands = [
    ["overview", t("nav.overview"), () => go("/")], ["servers", t("nav.servers"), () => go("/servers")],
    ["alerts", t("nav.alerts"), () => go("/alerts")], ["record", t("nav.record"), () => go("/record")],
    ["settings", t("nav.settings"), () => go("/settings")],
    [theme.peek() === "dark" ? "sun" : "moon", t("app.theme"), () => setTheme(theme.peek() === "dark" ? "light" : "dark")],
    ["refresh", t("app.language"), () => setLang(lang.peek() === "ko" ? "en" : "ko")],
    ["keys", t("shortcut.title"), () => setTimeout(() => show("shortcuts"))],
    ["out", t("app.logout"), logOut],
  ].filter(([, text]) => fits(text)).map(([icon, text, run]) => ({ mark: html`<${Icon} name=${icon} size=${16} />`, text, run }));
  return all.length ? [...machines, ...alerts, ...commands].slice(0, MOST) : [...commands, ...machines].slice(0, MOST);
}

function Palette() {
  const [words, type] = useState("");
  const [at, move] = useState(0);
  const list = useRef(null);
  const items = found(words);
  const chosen = Math.min(at, items.length - 1);
  useEffect(() => list.current?.querySelector("[aria-selected=true]")?.scrollIntoView({ block: "nearest" }), [chosen]);
  const pick = (item) => { close(); item?.run(); };
  const key = (event) => {
    if (event.isComposing) return;
    const step = { ArrowDown: 1, ArrowUp: -1 }[event.key];
    if (step) {
      event.preventDefault();
      move((chosen + step + items.length) % Math.max(1, items.length));
    } else if (event.key === "Enter") pick(items[chosen]);
  };
  return html`<div class="palette">
    <input type="text" role="combobox" aria-label=${t("find.title")} placeholder=${t("find.hint")} aria-expanded="true" aria-controls="found"
      aria-activedescendant=${items.length ? `found-${chosen}` : null} autocomplete="off" spellcheck=${false} value=${words}
      onInput=${(event) => { type(event.target.value); move(0); }} onKeyDown=${key} />
    <ul id="found" role="listbox" aria-label=${t("find.results")} ref=${list}>
      ${items.map((item, i) => html`<li id=${`found-${i}`} role="option" aria-selected=${String(i === chosen)}
        onPointerMove=${() => move(i)} onClick=${() => pick(item)}>${item.mark}<span>${item.text}</span>${item.note && html`<span class="note">${item.note}</span>`}</li>`)}
      ${!items.length && html`<li class="note" role="option" aria-selected="false" aria-disabled="true">${t("find.none")}</li>`}
    </ul>
  </div>`;
}

function Shortcuts() {
  return html`<div class="shortcuts">
    <header><h2>${t("shortcut.title")}</h2><button class="icon-button" type="button" aria-label=${t("app.close")} onClick=${close}><${Icon} name="close" size=${16} /></button></header>
    <dl>${LIST.map(([words, keys]) => html`<dt>${t(words)}</dt><dd>${keys.map((key) => html`<kbd>${key}</kbd>`)}</dd>`)}</dl>
  </div>`;
}

function Toast() {
  const said = toast.value;
  return html`<div role=${said?.error ? "alert" : "status"} class=${said ? "toast" : "visually-hidden"}>
    ${said && html`<span>${said.text}</span>
      ${said.undo
        ? html`<button class="button small" type="button" onClick=${() => { hush(); said.undo(); }}>${t("actions.undo")}</button>`
        : html`<button class="button small" type="button" onClick=${hush}>${t("app.close")}</button>`}`}
  </div>`;
}

const root = document.createElement("div");
document.body.append(root);
render(html`<${Overlays} />`, root);
