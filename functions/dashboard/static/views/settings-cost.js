// What all of it costs: so far, by the month's end, a server; and who uses it.

import { html } from "../vendor/preact.js";
import { ago, bytes, duration, lang, number, t } from "../lib/i18n.js";
import { Panel } from "./forms.js";
import { useLoad } from "../lib/ui.js";

/** Money to the cent; less than ten cents, to a tenth of one. */
function money(amount, currency) {
  const digits = amount && Math.abs(amount) < 0.1 ? 3 : 2;
  return new Intl.NumberFormat(lang.value, { style: "currency", currency, minimumFractionDigits: digits, maximumFractionDigits: digits }).format(amount);
}

export function Cost() {
  const load = useLoad("/api/system/cost", { every: 60 });
  const told = load.data;
  return html`<${Panel} title=${t("cost.title")} note=${told && t("cost.prices", told.prices.as_of)} load=${load}>
      ${told && html`<${Month} told=${told} />`}
    <//>
    <${Panel} title=${t("cost.functions")} load=${load} empty=${told && !Object.keys(told.functions).length && t("cost.none")}>
      ${told && html`<${Functions} told=${told} />`}
    <//>`;
}

function Month({ told }) {
  const { so_far: so, projected: ahead, currency } = told;
  const usd = (amount) => money(amount, currency);
  const amount = (line) => (line.unit === "GB" ? bytes(line.amount * 1e9) : number(Math.round(line.amount)));
  const said = [
    t("cost.so_far", usd(so.usd)),
    ahead ? t("cost.ahead", usd(ahead.usd)) : t("cost.soon"),
    ahead?.usd_per_server != null && t("cost.server", usd(ahead.usd_per_server), told.servers),
    told.cap && t("cost.cap", usd(told.cap.usd)),
    told.cap?.slowed && t("cost.slowed", duration(told.cap.push_every_s)),
    told.cap?.holds === false && t("cost.over"),
  ];
  return html`<p class="cost-said">${said.filter(Boolean).join(" ")}</p>
    <table class="table"><thead><tr><th scope="col">${t("cost.what")}</th><th scope="col" class="end">${t("cost.used")}</th>
      <th scope="col" class="end">${t("cost.now")}</th><th scope="col" class="end">${t("cost.end")}</th></tr></thead><tbody>
      ${so.lines.map((line, i) => html`<tr key=${line.what}><th scope="row">${t(`cost.${line.what}`)}</th>
        <td class="end">${amount(line)}</td><td class="end">${usd(line.usd)}</td><td class="end">${ahead ? usd(ahead.lines[i].usd) : "–"}</td></tr>`)}
      ${Object.entries(so.monthly).map(([name, each]) => html`<tr key=${`+${name}`}><th scope="row">${name}</th><td class="end">–</td>
        <td class="end">${usd(each)}</td><td class="end">${usd(each)}</td></tr>`)}
    </tbody></table>
    <p class="note cost-note">${t("cost.note")} ${told.counted_since && t("cost.since", ago(Date.parse(told.counted_since) / 1000))}</p>`;
}

function Functions({ told }) {
  const rows = Object.entries(told.functions).sort(([, a], [, b]) => (b.redis_commands ?? 0) - (a.redis_commands ?? 0));
  return html`<table class="table tight"><thead><tr><th scope="col">${t("cost.function")}</th><th scope="col" class="end">${t("cost.requests")}</th>
    <th scope="col" class="end">${t("cost.redis_commands")}</th><th scope="col" class="end">GB-s</th></tr></thead><tbody>
    ${rows.map(([name, sums]) => html`<tr key=${name}><th scope="row">${name}</th><td class="end">${number(sums.requests ?? 0)}</td>
      <td class="end">${number(sums.redis_commands ?? 0)}</td><td class="end">${number((sums.mb_ms ?? 0) / 1024 / 1000)}</td></tr>`)}
  </tbody></table>`;
}
