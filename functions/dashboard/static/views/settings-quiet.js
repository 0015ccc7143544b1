// When nobody is told: silences, which end, and maintenance windows, which return.

import { html, useState } from "../vendor/preact.js";
import { del, may, put } from "../lib/api.js";
import { t } from "../lib/i18n.js";
import { SilenceForm, Silences } from "./silences.js";
import { names } from "./settings-rules.js";
import { Confirm, Field, Form, Panel } from "./forms.js";
import { Problem, useLoad } from "../lib/ui.js";

const DAYS = ["mon", "tue", "wed", "thu", "fri", "sat", "sun"];

export function Quiet() {
  const [adding, add] = useState(false);
  return html`<${Panel} title=${t("silences.title")} note=${t("silences.note")}
      actions=${may("operator") && html`<button class="button small" type="button" aria-expanded=${String(adding)} onClick=${() => add(!adding)}>${t("silences.add")}</button>`}>
      ${adding && html`<${SilenceForm} done=${() => add(false)} cancel=${() => add(false)} />`}
      <${Silences} />
    <//>
    <${Maintenance} />`;
}

function Maintenance() {
  const load = useLoad("/api/maintenance");
  const [open, show] = useState("");
  const zone = Intl.DateTimeFormat().resolvedOptions().timeZone;
  const fresh = { id: "", days: ["sun"], at: "02:00", minutes: 120, timezone: zone, reason: "", servers: [], roles: [] };
  const done = () => { show(""); load.reload(); };
  return html`<${Panel} title=${t("maintenance.title")} note=${t("maintenance.note")} load=${load}
    actions=${may("operator") && html`<button class="button small" type="button" aria-expanded=${String(open === "+")} onClick=${() => show(open === "+" ? "" : "+")}>${t("maintenance.add")}</button>`}>
    ${open === "+" && html`<${Window} window=${fresh} done=${done} cancel=${() => show("")} fresh />`}
    ${!load.data?.maintenance.length && html`<p class="quiet">${t("maintenance.none")}</p>`}
    <ul class="rows">${load.data?.maintenance.map((w) => html`<${Row} key=${w.id} window=${w} open=${open === w.id} toggle=${() => show(open === w.id ? "" : w.id)} done=${done} />`)}</ul>
  <//>`;
}

function Row({ window: w, open, toggle, done }) {
  const [error, fail] = useState(null);
  return html`<li class="row"><div class="row-main">
      <div class="row-text"><strong>${w.id}</strong>
        <div class="row-facts"><span>${w.days.map((d) => t(`day.${d}`)).join(" ")} ${w.at}</span><span class="note">${t("maintenance.for", w.minutes)} · ${w.timezone}</span>
          <span class="note">${[...w.servers, ...w.roles].join(", ") || t("silences.all")}</span>${w.reason && html`<span>${w.reason}</span>`}</div></div>
      ${may("operator") && html`<div class="row-actions">
        <${Confirm} text=${t("parts.delete")} sure=${t("parts.delete_sure")} label=${w.id} run=${() => del(`/api/maintenance/${encodeURIComponent(w.id)}`).then(done, fail)} />
        <button class="button small" type="button" aria-expanded=${String(open)} onClick=${toggle} aria-label=${t("maintenance.edit_of", w.id)}>${t("parts.edit")}</button></div>`}
    </div>
    <${Problem} error=${error} />
    ${open && html`<${Window} window=${w} done=${done} cancel=${toggle} />`}
  </li>`;
}

function Window({ window: w, done, cancel, fresh }) {
  const [given, set] = useState(() => ({ ...w, servers: w.servers.join(", "), roles: w.roles.join(", ") }));
  const change = (name) => (value) => set((before) => ({ ...before, [name]: value }));
  const run = async () => {
    const body = { ...given, minutes: Number(given.minutes), servers: names(given.servers), roles: names(given.roles) };
    done(await put(`/api/maintenance/${encodeURIComponent(given.id)}`, body));
  };
  const day = (key) => html`<label class="day"><input type="checkbox" checked=${given.days.includes(key)}
    onChange=${() => change("days")(given.days.includes(key) ? given.days.filter((d) => d !== key) : [...given.days, key])} />${t(`day.${key}`)}</label>`;
  return html`<${Form} run=${run} submit=${t("parts.save")} cancel=${cancel}>${(error) => {
    const field = (name, more) => html`<${Field} label=${t(`maintenance.${name}`)} name=${name} value=${given[name]} set=${change(name)} error=${error} ...${more} />`;
    return html`
      ${fresh && html`<div class="fields">${field("id", { hint: t("rules.id_hint") })}</div>`}
      <fieldset class="days"><legend>${t("maintenance.days")}</legend>${DAYS.map(day)}</fieldset>
      <div class="fields">${field("at", { type: "time" })}${field("minutes", { type: "number", min: 1, inputmode: "numeric" })}${field("timezone")}</div>
      <div class="fields">${field("servers", { hint: t("rules.list_hint") })}${field("roles", { hint: t("rules.list_hint") })}${field("reason")}</div>`;
  }}<//>`;
}
