// #/settings: what is watched, when nobody is told, who is told, who may come in, what it costs, how late it is, how this page looks.

import { html, useState } from "../vendor/preact.js";
import { logOut, may, put, session } from "../lib/api.js";
import { chosenTheme, lang, LANGUAGES, nameOf, setLang, setTheme, t } from "../lib/i18n.js";
import { go } from "../lib/router.js";
import { Field, Form, Panel } from "./forms.js";
import { Tabs } from "../lib/ui.js";
import { Cost } from "./settings-cost.js";
import { Health } from "./settings-health.js";
import { Quiet } from "./settings-quiet.js";
import { Rules } from "./settings-rules.js";
import { Access, Notifications } from "./settings-admin.js";

const SECTIONS = [
  ["rules", Rules, "viewer"],
  ["quiet", Quiet, "viewer"],
  ["notifications", Notifications, "operator"],
  ["access", Access, "admin"],
  ["cost", Cost, "viewer"],
  ["health", Health, "viewer"],
  ["personal", Personal, "viewer"],
];

export default function Settings({ params }) {
  const shown = SECTIONS.filter(([, , role]) => may(role));
  const [key, Section] = shown.find(([name]) => name === params.part) ?? shown[0];
  return html`<div class="page settings">
    <header class="page-head"><h1>${t("settings.title")}</h1>
      ${!may("operator") && html`<span class="note">${t("settings.readonly", t(`role.${session.value?.role}`))}</span>`}</header>
    <${Tabs} label=${t("settings.title")} value=${key} set=${(name) => go(`/settings/${name}`, { replace: true })} tabs=${shown.map(([name]) => ({ key: name, text: t(`settings.${name}`) }))} />
    <div role="tabpanel" aria-label=${t(`settings.${key}`)}><${Section} /></div>
  </div>`;
}

function Personal() {
  const who = session.value;
  return html`<${Panel} title=${t("settings.appearance")}>
      <div class="form inline">
        <${Field} label=${t("settings.language")} value=${lang.value} set=${setLang} options=${LANGUAGES.map((each) => [each, nameOf(each)])} />
        <${Field} label=${t("settings.theme")} value=${chosenTheme.value} set=${setTheme}
          options=${["", "dark", "light"].map((key) => [key, t(`settings.theme.${key || "system"}`)])} />
      </div>
    <//>
    <${Panel} title=${t("settings.account")} note=${`${who.user} · ${t(`role.${who.role}`)}`}
      actions=${html`<button class="button small" type="button" onClick=${logOut}>${t("settings.sign_out")}</button>`}>
      <${Password} />
    <//>`;
}

function Password() {
  const [current, setCurrent] = useState("");
  const [next, setNext] = useState("");
  // Every token of this user ends with the old password, this page's too: it comes back with the new one.
  const run = async () => {
    await put("/api/auth/password", { current, new: next });
    await logOut();
  };
  return html`<${Form} class="inline" run=${run} submit=${t("settings.password.change")}>
    ${(error) => html`
      <${Field} label=${t("settings.password.current")} name="current" type="password" autocomplete="current-password" value=${current} set=${setCurrent} error=${error} />
      <${Field} label=${t("settings.password.new")} name="password" type="password" autocomplete="new-password" hint=${t("settings.password.hint")}
        value=${next} set=${setNext} error=${error} />`}
  <//>`;
}
