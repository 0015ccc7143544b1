// Silences that have not ended, each with its end and what it matches now; making and ending them.

import { html, useEffect, useState } from "../vendor/preact.js";
import { del, may, post } from "../lib/api.js";
import { clock, duration, instant, t } from "../lib/i18n.js";
import { alerts, now } from "../lib/store.js";
import { covers, local, readSilences, silences, unread } from "./alert-rows.js";
import { Confirm, Field, Form } from "./forms.js";
import { Problem } from "../lib/ui.js";

export function Silences() {
  useEffect(() => { readSilences(); }, []);
  const running = silences.value?.filter((s) => s.end > now.value);
  return html`<${Problem} error=${unread.value} retry=${readSilences} />
    ${running && !running.length && html`<p class="quiet">${t("silences.none")}</p>`}
    <ul class="rows">${running?.map((s) => html`<${Silence} key=${s.id} of=${s} />`)}</ul>`;
}

function Silence({ of }) {
  const [error, fail] = useState(null);
  const what = [...of.servers, ...of.roles, ...of.rules].join(" · ") || t("silences.all");
  const matched = alerts.value.filter((alert) => alert.fired && covers(of)(alert)).length;
  const end = () => del(`/api/silences/${encodeURIComponent(of.id)}`).then(readSilences, fail);
  return html`<li class="row"><div class="row-main">
      <div class="row-text"><strong>${what}</strong>
        <div class="row-facts"><span title=${instant(of.end)}>${t("silences.until", clock(of.end), duration(of.end - now.value))}</span>
          ${of.start > now.value && html`<span>${t("silences.from", clock(of.start))}</span>`}
          <span class="note">${t("silences.matches", matched)}</span>${of.by && html`<span class="note">${t("silences.by", of.by)}</span>`}${of.reason && html`<span>${of.reason}</span>`}</div></div>
      ${may("operator") && html`<div class="row-actions"><${Confirm} label=${what} text=${t("silences.end")} sure=${t("keys.end_sure")} run=${end} /></div>`}
    </div><${Problem} error=${error} /></li>`;
}

export function SilenceForm({ done, cancel }) {
  const [given, set] = useState({ servers: "", roles: "", rules: "", reason: "", end: local(now.peek() + 3600) });
  const list = (name) => given[name].split(/[\s,]+/).filter(Boolean);
  const run = async () => {
    await post("/api/silences", { servers: list("servers"), roles: list("roles"), rules: list("rules"), reason: given.reason, end: Math.round(new Date(given.end) / 1000) });
    await readSilences();
    done();
  };
  return html`<${Form} run=${run} submit=${t("silences.add")} cancel=${cancel}>${(error) => html`<div class="fields">
    ${["servers", "roles", "rules", "reason", "end"].map((name) => html`<${Field} label=${t(name === "end" ? "silences.end_at" : `silences.${name}`)} name=${name}
      type=${name === "end" ? "datetime-local" : "text"} hint=${["servers", "roles", "rules"].includes(name) ? t("rules.list_hint") : ""}
      value=${given[name]} error=${error} set=${(value) => set((before) => ({ ...before, [name]: value }))} />`)}</div>`}<//>`;
}
