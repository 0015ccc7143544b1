// In the place of everything until somebody is logged in. The address stays, so that they land where they wanted to.

import { html, useState } from "../vendor/preact.js";
import { address, logIn, setAddress } from "../lib/api.js";
import { Icon, Mark } from "../lib/ui.js";
import { duration, lang, LANGUAGES, nameOf, setLang, setTheme, t, theme } from "../lib/i18n.js";
import "./forms.js";

export default function Login() {
  const [state, set] = useState({ busy: false, error: null });
  const send = async (event) => {
    event.preventDefault();
    const form = event.currentTarget;
    const { user, password, stay, api } = Object.fromEntries(new FormData(form));
    setAddress(api ?? "");
    set({ busy: true, error: null });
    try {
      await logIn(user, password, stay === "on");
    } catch (error) {
      set({ busy: false, error });
      form.elements.password.select();
    }
  };
  const { busy, error } = state;
  return html`<main class="login">
    <form class="panel" onSubmit=${send}>
      <h1 class="brand"><${Mark} />OpenManager</h1>
      <div class="field"><label for="user">${t("login.user")}</label>
        <input id="user" name="user" autocomplete="username" autocapitalize="none" spellcheck=${false} required autofocus /></div>
      <div class="field"><label for="password">${t("login.password")}</label>
        <input id="password" name="password" type="password" autocomplete="current-password" required aria-describedby=${error ? "why" : null} /></div>
      <label class="check-line"><input type="checkbox" name="stay" />${t("login.stay")}</label>
      ${error && html`<p class="wrong" id="why" role="alert">${why(error)}</p>`}
      <button class="button primary" disabled=${busy}>${busy ? t("login.busy") : t("login.enter")}</button>
      <details open=${Boolean(address.value) || error?.status === 0 || error?.status === 404 || error?.status === 405}>
        <summary>${t("login.elsewhere")}</summary>
        <div class="field"><label for="api">${t("login.api")}</label>
          <input id="api" name="api" type="url" inputmode="url" placeholder="https://…" value=${address.value} /></div>
      </details>
    </form>
    <div class="choices">
      ${LANGUAGES.filter((each) => each !== lang.value).map((each) => html`<button class="icon-button" type="button" lang=${each} title=${t("app.language")} onClick=${() => setLang(each)}>${nameOf(each)}</button>`)}
      <button class="icon-button" type="button" aria-label=${t("app.theme")} onClick=${() => setTheme(theme.peek() === "dark" ? "light" : "dark")}>
        <${Icon} name=${theme.value === "dark" ? "sun" : "moon"} size=${18} /></button>
    </div>
  </main>`;
}

function why(error) {
  if (error.status === 0) return t("login.unreachable");
  if (error.status === 401) return t("login.wrong");
  if (error.status === 429) return t("login.wait", duration(error.retryAfter ?? 15));
  return error.detail || error.title;
}
