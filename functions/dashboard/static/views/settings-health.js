// How old what passes each stage is, against what it may be: whether verdicts, notices and this page can be trusted.

import { html } from "../vendor/preact.js";
import { duration, t } from "../lib/i18n.js";
import { Panel } from "./forms.js";
import { useLoad } from "../lib/ui.js";

// Limits are no whole minutes.
const seconds = (s) => (s < 60 ? duration(s) : t("time.s", Math.round(s)));

export function Health() {
  const load = useLoad("/api/system/stages", { every: 60 });
  return html`<${Panel} title=${t("health.title")} note=${t("health.note")} load=${load}>
    <table class="table tight"><thead><tr><th scope="col">${t("health.stage")}</th><th scope="col" class="end">${t("health.p95")}</th>
      <th scope="col" class="end">${t("health.limit")}</th><th scope="col">${t("health.hour")}</th><th scope="col">${t("health.day")}</th></tr></thead><tbody>
      ${load.data?.stages.map((each) => html`<tr key=${each.stage}><th scope="row">${t(`health.${each.stage}`)}</th>
        <td class="end">${seconds(each.hour.p95_s)}</td><td class="end">${seconds(each.objective_s)}</td>
        <td>${t(`health.${each.hour.state}`)}</td><td>${t(`health.${each.day.state}`)}</td></tr>`)}
    </tbody></table>
  <//>`;
}
