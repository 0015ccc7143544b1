// Nobody has sent anything yet: the one line that connects the first server. The page turns by itself when it has.

import { html, useState } from "../vendor/preact.js";
import { address } from "../lib/api.js";
import { t } from "../lib/i18n.js";
import { Icon } from "../lib/ui.js";
import { href } from "../lib/router.js";
import "./forms.js";

export default function First() {
  const [copied, set] = useState(false);
  const line = `pip install psutil && OPENMANAGER_URL=${address.value || location.origin} OPENMANAGER_TOKEN=om_… python3 openmanager_agent.py`;
  const copy = () => navigator.clipboard.writeText(line).then(() => set(true), () => {});
  return html`<section class="first">
    <h1>${t("first.title")}</h1>
    <p class="quiet">${t("first.how")} <a class="model-text" href=${href("/settings/keys")}>${t("first.key")}</a></p>
    <div class="command"><code>${line}</code>
      <button class="button small" type="button" onClick=${copy}><${Icon} name=${copied ? "check" : "copy"} size=${14} />${copied ? t("first.copied") : t("first.copy")}</button></div>
    <p class="note" role="status">${t("first.soon")}</p>
  </section>`;
}
