// For administrators: who is told of alerts, API keys and users. Operators see here what waits to be told.

import { html, useState } from "../vendor/preact.js";
import { del, may, post, put, session } from "../lib/api.js";
import { ago, lang, LANGUAGES, nameOf, t } from "../lib/i18n.js";
import { names } from "./settings-rules.js";
import { Confirm, Field, Form, Once, Panel } from "./forms.js";
import { Problem, useLoad } from "../lib/ui.js";

// As openmanager.notify.targets has them: [setting, required, secret, kind].
const CHANNELS = {
  webhook: [["url", 1, 0], ["secret", 1, 1], ["previous_secret", 0, 1]],
  slack: [["url", 1, 1]],
  discord: [["url", 1, 1]],
  telegram: [["token", 1, 1], ["chat_id", 1, 0], ["thread_id", 0, 0, "number"], ["server", 0, 0]],
  pagerduty: [["routing_key", 1, 1], ["url", 0, 0]],
  ntfy: [["topic", 1, 0], ["server", 0, 0], ["token", 0, 1]],
  email: [["host", 1, 0], ["port", 0, 0, "number"], ["security", 0, 0], ["user", 0, 0], ["password", 0, 1], ["sender", 1, 0], ["to", 1, 0, "list"]],
};
const SEVERITIES = ["info", "warning", "critical"];
const ROLES = ["viewer", "operator", "admin", "auditor"];
const path = encodeURIComponent;
const toggler = (open, show) => (key) => show(open === key ? "" : key);
const seconds = (iso) => Date.parse(iso) / 1000;
const day = (iso) => new Date(iso).toLocaleDateString(lang.value, { dateStyle: "medium" });

export function Notifications() {
  return html`${may("admin") && html`<${Targets} />`}<${Outbox} />`;
}

function Targets() {
  const load = useLoad("/api/notifications/targets");
  const [open, show] = useState("");
  const toggle = toggler(open, show);
  const done = () => { show(""); load.reload(); };
  const fresh = { id: "", channel: "slack", settings: {}, language: "en", severity: "info", classes: ["measured", "predictive"], servers: [], roles: [], resolved: true, enabled: true,
    timezone: Intl.DateTimeFormat().resolvedOptions().timeZone };
  return html`<${Panel} title=${t("targets.title")} note=${t("targets.note")} load=${load}
    actions=${html`<button class="button small" type="button" aria-expanded=${String(open === "+")} onClick=${() => toggle("+")}>${t("targets.add")}</button>`}>
    ${open === "+" && html`<${TargetForm} target=${fresh} done=${done} cancel=${() => show("")} fresh />`}
    ${!load.data?.targets.length && html`<p class="quiet">${t("targets.none")}</p>`}
    <ul class="rows">${load.data?.targets.map((x) => html`<${TargetRow} key=${x.id} target=${x} open=${open === x.id} toggle=${() => toggle(x.id)} done=${done} />`)}</ul>
  <//>`;
}

function TargetRow({ target, open, toggle, done }) {
  const [state, set] = useState({});
  const test = () => {
    set({ busy: true });
    post(`/api/notifications/targets/${path(target.id)}/test`).then((answer) => set({ answer }), (error) => set({ error }));
  };
  const unreadable = Object.entries(target.unreadable || {});
  return html`<li class=${target.enabled ? "row" : "row off"}><div class="row-main">
      <div class="row-text"><strong>${target.id}</strong> <span class="chip">${t(`targets.channel.${target.channel}`)}</span>
        ${!target.enabled && html`<span class="chip">${t("rules.off")}</span>`}
        <div class="row-facts"><span class="note">${t("targets.from", t(`severity.${target.severity}`))}</span><span class="note">${shownSettings(target)}</span>
          <span class="note">${[...target.servers, ...target.roles].join(", ")}</span></div>
        ${unreadable.map(([name, why]) => html`<p class="wrong">${t("targets.unreadable", name)} ${why}</p>`)}
      </div>
      <div class="row-actions">
        <button class="button small" type="button" disabled=${state.busy} onClick=${test} aria-label=${t("targets.test_of", target.id)}>${t("targets.test")}</button>
        <${Confirm} text=${t("parts.delete")} sure=${t("parts.delete_sure")} label=${target.id} run=${() => del(`/api/notifications/targets/${path(target.id)}`).then(done, (error) => set({ error }))} />
        <button class="button small" type="button" aria-expanded=${String(open)} onClick=${toggle} aria-label=${t("targets.edit_of", target.id)}>${t("parts.edit")}</button>
      </div>
    </div>
    <${Problem} error=${state.error} />
    ${state.answer && html`<p class=${state.answer.delivered ? "done" : "wrong"} role="status">
      ${state.answer.delivered ? t("targets.delivered") : t("targets.not_delivered")} ${state.answer.status || ""} ${state.answer.detail}</p>`}
    ${open && html`<${TargetForm} target=${target} done=${done} cancel=${toggle} />`}
  </li>`;
}

const shownSettings = (target) => Object.values(target.settings).filter((v) => v !== null).flat().join(" · ");

function TargetForm({ target, done, cancel, fresh }) {
  const [given, set] = useState(() => ({ ...target, servers: target.servers.join(", "), roles: target.roles.join(", "), settings: asTyped(target) }));
  const change = (name) => (value) => set((before) => ({ ...before, [name]: value }));
  const setting = (name) => (value) => set((before) => ({ ...before, settings: { ...before.settings, [name]: value } }));
  const predictive = given.classes.includes("predictive");
  const run = async () => {
    const { unreadable, ...body } = given;
    await put(`/api/notifications/targets/${path(given.id)}`, { ...body, servers: names(given.servers), roles: names(given.roles), settings: asSent(given) });
    done();
  };
  return html`<${Form} run=${run} submit=${t("parts.save")} cancel=${cancel}>${(error) => {
    const field = (name, more) => html`<${Field} label=${t(`targets.${name}`)} name=${name} value=${given[name]} set=${change(name)} error=${error} ...${more} />`;
    return html`
      ${fresh && html`<div class="fields">${field("id", { hint: t("rules.id_hint") })}
        ${field("channel", { options: Object.keys(CHANNELS).map((c) => [c, t(`targets.channel.${c}`)]) })}</div>`}
      <div class="fields">${CHANNELS[given.channel].map(([name, required, secret, kind]) => html`<${Field} label=${t(`targets.setting.${name}`)} name=${name}
        type=${kind === "number" ? "number" : "text"} autocomplete="off" spellcheck="false" value=${given.settings[name]} set=${setting(name)} error=${error}
        placeholder=${(secret && target.settings[name]) || ""}
        hint=${secret && target.settings[name] ? t("targets.kept") : kind === "list" ? t("rules.list_hint") : required ? "" : t("targets.optional")} />`)}</div>
      <div class="fields">${field("severity", { options: SEVERITIES.map((s) => [s, t(`severity.${s}`)]) })}
        ${field("language", { options: LANGUAGES.map((each) => [each, nameOf(each)]) })}${field("timezone")}</div>
      <div class="fields">${field("servers", { hint: t("rules.list_hint") })}${field("roles", { hint: t("rules.list_hint") })}</div>
      <${Field} type="checkbox" label=${t("targets.predictive")} name="classes" value=${predictive} error=${error}
        set=${(on) => change("classes")(on ? ["measured", "predictive"] : ["measured"])} />
      ${field("resolved", { type: "checkbox" })}${field("enabled", { type: "checkbox" })}`;
  }}<//>`;
}

// A masked secret is only a placeholder: what is left empty stays as it is.
function asTyped(target) {
  return Object.fromEntries(CHANNELS[target.channel].map(([name, , secret]) => [name, secret ? "" : [target.settings[name] ?? ""].flat().join(", ")]));
}

function asSent(given) {
  const filled = CHANNELS[given.channel].filter(([name]) => given.settings[name]);
  return Object.fromEntries(filled.map(([name, , , kind]) => {
    const text = given.settings[name];
    return [name, kind === "number" ? Number(text) : kind === "list" ? names(text) : text];
  }));
}

function Outbox() {
  const load = useLoad("/api/notifications/outbox", { every: 30 });
  const rows = load.data ? [...load.data.failed, ...load.data.waiting] : [];
  return html`<${Panel} title=${t("outbox.title")} note=${t("outbox.note")} load=${load} empty=${!rows.length && t("outbox.none")}>
    <ul class="rows">${rows.map((row) => html`<${OutboxRow} key=${row.key} row=${row} reload=${load.reload} />`)}</ul><//>`;
}

function OutboxRow({ row, reload }) {
  const [error, fail] = useState(null);
  const retry = () => post(`/api/notifications/outbox/${path(row.key)}/retry`).then(reload, fail);
  return html`<li class="row"><div class="row-main"><div class="row-text">
      <strong>${row.notice?.title || row.key}</strong> ${row.notice && html`<span class="note">${row.notice.server} → ${row.target}</span>`}
      <div class="row-facts"><span class=${row.failed ? "wrong" : "note"}>${row.failed ? t("outbox.failed", ago(row.failed)) : t("outbox.waits", row.tries || 0)}</span>
        <span class="note">${row.reason}</span></div></div>
      <div class="row-actions"><button class="button small" type="button" onClick=${retry}>${t("parts.retry")}</button></div></div>
    <${Problem} error=${error} /></li>`;
}

export function Access() {
  return html`<${Keys} /><${Users} />`;
}

function Keys() {
  const load = useLoad("/api/keys");
  const [state, set] = useState({});
  const add = () => set({ adding: !state.adding });
  return html`<${Panel} title=${t("keys.title")} note=${t("keys.note")} load=${load}
    actions=${html`<button class="button small" type="button" aria-expanded=${String(!!state.adding)} onClick=${add}>${t("keys.add")}</button>`}>
    ${state.adding && html`<${KeyForm} done=${(made) => { set({ made }); load.reload(); }} cancel=${() => set({})} />`}
    ${state.made && html`<${Once} title=${t("keys.once", state.made.name)} text=${state.made.key} done=${() => set({})} />`}
    <${Problem} error=${state.error} />
    ${!load.data?.keys.length && html`<p class="quiet">${t("keys.none")}</p>`}
    <ul class="rows">${load.data?.keys.map((key) => html`<li class="row" key=${key.id}><div class="row-main"><div class="row-text">
        <strong>${key.name}</strong> <span class="chip">${t(`role.${key.role}`)}</span> <code>om_${key.id}_…</code>
        <div class="row-facts">${key.servers && html`<span>${key.servers.join(", ")}</span>`}
          <span class="note">${t("keys.until", day(key.expires))}</span>
          <span class="note">${key.last_used ? t("keys.used", ago(seconds(key.last_used))) : t("keys.unused")}</span>
          <span class="note">${t("keys.by", key.created_by)}</span></div></div>
      <div class="row-actions"><${Confirm} text=${t("keys.end")} sure=${t("keys.end_sure")} label=${key.name}
        run=${() => del(`/api/keys/${key.id}`).then(load.reload, (error) => set({ error }))} /></div></div></li>`)}</ul>
  <//>`;
}

function KeyForm({ done, cancel }) {
  const [given, set] = useState({ name: "", role: "agent", servers: "*", days: 365 });
  const change = (name) => (value) => set((before) => ({ ...before, [name]: value }));
  const run = async () => {
    const { servers, ...rest } = given;
    done(await post("/api/keys", { ...rest, days: Number(given.days), ...(given.role === "agent" && { servers: names(servers) }) }));
  };
  return html`<${Form} run=${run} submit=${t("keys.make")} cancel=${cancel}>${(error) => html`<div class="fields">
    <${Field} label=${t("keys.name")} name="name" value=${given.name} set=${change("name")} error=${error} />
    <${Field} label=${t("users.role")} name="role" value=${given.role} set=${change("role")} error=${error}
      options=${["agent", ...ROLES].map((r) => [r, t(`role.${r}`)])} />
    ${given.role === "agent" && html`<${Field} label=${t("keys.servers")} name="servers" hint=${t("keys.servers_hint")} value=${given.servers} set=${change("servers")} error=${error} />`}
    <${Field} label=${t("keys.days")} name="days" type="number" min="1" inputmode="numeric" value=${given.days} set=${change("days")} error=${error} /></div>`}<//>`;
}

function Users() {
  const load = useLoad("/api/users");
  const [state, set] = useState({});
  const done = (made) => { set(made.password ? { made } : {}); load.reload(); };
  return html`<${Panel} title=${t("users.title")} note=${t("users.note")} load=${load}
    actions=${html`<button class="button small" type="button" aria-expanded=${String(state.open === "+")} onClick=${() => set(state.open === "+" ? {} : { open: "+" })}>${t("users.add")}</button>`}>
    ${state.open === "+" && html`<${UserForm} user=${{ name: "", role: "viewer", enabled: true }} done=${done} cancel=${() => set({})} fresh />`}
    ${state.made && html`<${Once} title=${t("users.once", state.made.name)} text=${state.made.password} done=${() => set({})} />`}
    <${Problem} error=${state.error} />
    <ul class="rows">${load.data?.users.map((user) => html`<li class=${user.enabled ? "row" : "row off"} key=${user.name}><div class="row-main"><div class="row-text">
        <strong>${user.name}</strong> <span class="chip">${t(`role.${user.role}`)}</span>${!user.enabled && html` <span class="chip">${t("users.disabled")}</span>`}
        <div class="row-facts"><span class="note">${t("users.changed", ago(seconds(user.changed)), user.changed_by)}</span></div></div>
      <div class="row-actions">
        ${user.name !== session.value.user && html`<${Confirm} text=${t("parts.delete")} sure=${t("parts.delete_sure")} label=${user.name}
          run=${() => del(`/api/users/${path(user.name)}`).then(load.reload, (error) => set({ error }))} />`}
        <button class="button small" type="button" aria-expanded=${String(state.open === user.name)} aria-label=${t("users.edit_of", user.name)}
          onClick=${() => set(state.open === user.name ? {} : { open: user.name })}>${t("parts.edit")}</button></div></div>
      ${state.open === user.name && html`<${UserForm} user=${user} done=${done} cancel=${() => set({})} />`}</li>`)}</ul>
  <//>`;
}

function UserForm({ user, done, cancel, fresh }) {
  const [given, set] = useState({ name: user.name, role: user.role, enabled: user.enabled, password: "" });
  const change = (name) => (value) => set((before) => ({ ...before, [name]: value }));
  const run = async () => done(await put(`/api/users/${path(given.name)}`, { role: given.role, enabled: given.enabled, ...(given.password && { password: given.password }) }));
  return html`<${Form} run=${run} submit=${t("parts.save")} cancel=${cancel}>${(error) => html`<div class="fields">
    ${fresh && html`<${Field} label=${t("users.name")} name="name" autocomplete="off" value=${given.name} set=${change("name")} error=${error} />`}
    <${Field} label=${t("users.role")} name="role" value=${given.role} set=${change("role")} error=${error} options=${ROLES.map((r) => [r, t(`role.${r}`)])} />
    <${Field} label=${t("users.password")} name="password" type="password" autocomplete="new-password" hint=${t(fresh ? "users.password_made" : "users.password_kept")}
      value=${given.password} set=${change("password")} error=${error} /></div>
    <${Field} type="checkbox" label=${t("users.enabled")} name="enabled" value=${given.enabled} set=${change("enabled")} error=${error} />`}<//>`;
}
