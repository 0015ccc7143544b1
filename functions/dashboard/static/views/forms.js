// Panels that load and fail by themselves, and forms; with them come the style and the words of all views but the overview.

import { html, useEffect, useId, useState } from "../vendor/preact.js";
import { addWords, t } from "../lib/i18n.js";
import { Problem } from "../lib/ui.js";

const sheet = document.createElement("link");
sheet.rel = "stylesheet";
sheet.href = new URL("../views.css", import.meta.url);
const styled = new Promise((done) => { sheet.onload = sheet.onerror = done; });
document.head.append(sheet);
// Views wait for this, so that nothing is shown without its words and its style.
await Promise.all([styled, addWords("../views/")]);

/** A titled panel that fails, loads and is empty by itself. */
export function Panel({ title, note, actions, load, empty, children, class: name = "" }) {
  const id = useId();
  const waits = load && !load.data;
  return html`<section class=${`panel ${name}`} aria-labelledby=${id} aria-busy=${waits && !load.error ? "true" : null}>
    <header class="panel-head">
      <h2 id=${id}>${title}</h2>${note && html`<span class="note">${note}</span>`}
      ${actions && html`<div class="panel-actions">${actions}</div>`}
    </header>
    ${load && html`<${Problem} error=${load.error} retry=${load.reload} />`}
    ${waits ? !load.error && html`<p class="quiet">${t("parts.loading")}</p>` : empty ? html`<p class="quiet">${empty}</p>` : children}
  </section>`;
}

/** A button that asks once more before it does what cannot be taken back. */
export function Confirm({ text, sure, label, run, class: name = "button small" }) {
  const [asked, ask] = useState(false);
  useEffect(() => {
    if (!asked) return undefined;
    const timer = setTimeout(() => ask(false), 5000);
    return () => clearTimeout(timer);
  }, [asked]);
  const shown = asked ? sure : text;
  return html`<button type="button" class=${`${name} ${asked ? "danger" : ""}`} aria-label=${label ? `${shown}: ${label}` : null}
    onClick=${() => { ask(!asked); if (asked) run(); }}>${shown}</button>`;
}

/** A labelled input; `error` of the API that names the field is said beside it. */
export function Field({ label, hint, name, error, options, value, set, type = "text", ...rest }) {
  const id = useId();
  // A field of a list or of settings is named with its place: "servers[0]", "settings.url".
  const wrong = error?.field && (error.field === name || error.field.split(/[.[]/).includes(name)) ? error.detail : "";
  const about = [hint && `${id}-hint`, wrong && `${id}-error`].filter(Boolean).join(" ") || null;
  const given = { id, name, "aria-describedby": about, "aria-invalid": wrong ? "true" : null, ...rest };
  const check = type === "checkbox";
  return html`<div class=${check ? "field check" : "field"}>
    ${!check && html`<label for=${id}>${label}</label>`}
    ${options
      ? html`<select ...${given} value=${value} onChange=${(e) => set(e.target.value)}>
          ${options.map(([key, words]) => html`<option value=${key} selected=${key === value}>${words}</option>`)}</select>`
      : check
        ? html`<input ...${given} type="checkbox" checked=${value} onChange=${(e) => set(e.target.checked)} />`
        : html`<input ...${given} type=${type} value=${value ?? ""} onInput=${(e) => set(e.target.value)} />`}
    ${check && html`<label for=${id}>${label}</label>`}
    ${hint && html`<span class="note" id=${`${id}-hint`}>${hint}</span>`}
    ${wrong && html`<span class="wrong" id=${`${id}-error`}>${wrong}</span>`}
  </div>`;
}

/** A form that sends once, says what was wrong at the field or below, and keeps what was typed. */
export function Form({ run, submit, cancel, children, class: name = "" }) {
  const [state, set] = useState({ busy: false, error: null, here: false });
  const send = (event) => {
    event.preventDefault();
    const form = event.currentTarget;
    set({ busy: true, error: null, here: false });
    run().then(
      () => set({ busy: false, error: null, here: false }),
      (error) => {
        set({ busy: false, error, here: false });
        setTimeout(() => {
          const wrong = form.querySelector("[aria-invalid]");
          if (wrong) wrong.focus();
          else set({ busy: false, error, here: true });
        });
      },
    );
  };
  return html`<form class=${`form ${name}`} onSubmit=${send} novalidate>
    ${children(state.error)}
    ${state.here && html`<${Problem} error=${state.error} />`}
    <div class="form-actions">
      <button class="button primary" disabled=${state.busy}>${submit}</button>
      ${cancel && html`<button class="button" type="button" onClick=${cancel}>${t("parts.cancel")}</button>`}
    </div>
  </form>`;
}

/** Something that is shown once: the text and a button that copies it. */
export function Once({ title, text, done }) {
  const [copied, set] = useState(false);
  const copy = () => navigator.clipboard.writeText(text).then(() => set(true), () => set(false));
  return html`<div class="once" role="status">
    <p>${title}</p>
    <code>${text}</code>
    <div class="form-actions">
      <button class="button primary" type="button" onClick=${copy}>${copied ? t("parts.copied") : t("parts.copy")}</button>
      <button class="button" type="button" onClick=${done}>${t("parts.done")}</button>
    </div>
  </div>`;
}
