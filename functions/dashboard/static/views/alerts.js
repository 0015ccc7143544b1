// #/alerts: what is open, what somebody takes care of, and what nobody is told of, with its silences.

import { html, useState } from "../vendor/preact.js";
import { may } from "../lib/api.js";
import { t } from "../lib/i18n.js";
import { go, route } from "../lib/router.js";
import { arrived, round } from "../lib/store.js";
import { AlertRow, AllWell, SHELVES, shelfTabs, sorted, useSilences } from "./alert-rows.js";
import { Events } from "./events.js";
import { Panel } from "./forms.js";
import { Tabs } from "../lib/ui.js";
import { SilenceForm, Silences } from "./silences.js";

const PAGE = 50;
const RECENT = 12;

export default function Alerts() {
  const asked = route.value.query.tab;
  const shelf = SHELVES.includes(asked) ? asked : "open";
  return html`<div class="page alerts">
    <header class="page-head"><h1>${t("alerts.title")}</h1></header>
    <${Tabs} label=${t("alerts.title")} tabs=${shelfTabs()} value=${shelf} set=${(key) => go(key === "open" ? "/alerts" : `/alerts?tab=${key}`, { replace: true })} />
    <div class="alerts-and-past">
      <div role="tabpanel" aria-label=${t(`alerts.${shelf}`)}>
        <${List} key=${shelf} shelf=${shelf} />
        ${shelf === "silenced" && html`<${AllSilences} />`}
      </div>
      <${Events} stamp=${round.value} most=${RECENT} />
    </div>
  </div>`;
}

function List({ shelf }) {
  useSilences();
  const [shown, show] = useState(PAGE);
  const rows = sorted(shelf);
  if (!arrived.value) return html`<p class="quiet">${t("parts.loading")}</p>`;
  if (!rows.length) return shelf === "open" ? html`<${AllWell} />` : html`<p class="quiet">${t(`alerts.none.${shelf}`)}</p>`;
  return html`<ul class="alert-list">${rows.slice(0, shown).map((alert) => html`<${AlertRow} key=${alert.id} alert=${alert} shelf=${shelf} />`)}</ul>
    ${rows.length > shown && html`<button class="button" type="button" onClick=${() => show(shown + PAGE)}>${t("alerts.more", Math.min(PAGE, rows.length - shown))}</button>`}`;
}

function AllSilences() {
  const [adding, add] = useState(false);
  return html`<${Panel} title=${t("silences.title")} note=${t("silences.note")}
    actions=${may("operator") && html`<button class="button small" type="button" aria-expanded=${String(adding)} onClick=${() => add(!adding)}>${t("silences.add")}</button>`}>
    ${adding && html`<${SilenceForm} done=${() => add(false)} cancel=${() => add(false)} />`}
    <${Silences} /><//>`;
}
