// The models of a chat: chosen, loaded, let go; what they can and what they take.
import { html, useEffect, useState } from "../../lib/html.js";
import { post, remove, request } from "../../lib/api.js";
import { bytes, duration, integer } from "../../lib/format.js";
import { t } from "../../lib/i18n.js";
import { Dialog } from "../../components/dialog.js";
import { Details, ModelPicker } from "../../components/model_picker.js";
import { Options } from "../../components/options.js";
import { attempt } from "../../components/toast.js";

const KINDS = ["engine", "quantizer"];
const LINES = "template=qwen3\nadapter.path=other/adapter";
const alive = ({ state }) => ["planning", "loading", "ready"].includes(state);

/** The loaded model of a slot: the one that it loaded, else one of the same name. */
export function loadedOf(models, slot) {
  const named = (model) => alive(model) && model.source === slot.source;
  return models.find(({ id }) => id === slot.id) ?? models.findLast(named) ?? null;
}

/** A value of a kind, {name, options}, as overrides: {engine: name, "engine.option": value} */
function overridesOf(kinds, lines) {
  const found = {};
  for (const [kind, value] of Object.entries(kinds)) {
    for (const [key, item] of Object.entries(value ?? {})) {
      if (key === "name") found[kind] = item;
      else flatten(`${kind}.${key}`, item, found);
    }
  }
  for (const line of lines.split("\n").filter((text) => text.includes("="))) {
    const at = line.indexOf("=");
    found[line.slice(0, at).trim()] = line.slice(at + 1).trim();
  }
  return found;
}

function flatten(key, value, found) {
  if (value && typeof value === "object" && !Array.isArray(value)) {
    for (const [name, item] of Object.entries(value)) flatten(`${key}.${name}`, item, found);
  } else found[key] = value;
}

/**
 * @param {{label: string, slot: object, onSlot: (part: object) => void, models: object[]}} properties
 */
export function ModelSlot({ label, slot, onSlot, models }) {
  const loaded = loadedOf(models, slot);
  const [busy, setBusy] = useState(false);
  const [text, setText] = useState(""); // an address that is being typed, and not taken yet
  const load = async (anyway = false) => {
    setBusy(true);
    const overrides = overridesOf(slot.kinds ?? {}, slot.lines ?? "");
    const device = slot.device?.trim() || null;
    await attempt(async () => {
      if (loaded) await remove(`chats/models/${loaded.id}`);
      onSlot({ id: (await post("chats/models", { source: slot.source, overrides, device, anyway })).id });
    });
    setBusy(false);
  };
  const unload = () => attempt(() => remove(`chats/models/${loaded.id}`));
  const on = loaded && alive(loaded);
  const others = on ? [] : models.filter(alive);
  return html`<section class="card model-slot" aria-label=${label}>
    <${ModelPicker} label=${label} value=${slot.source} details=${false} onText=${setText}
      onChange=${(source) => (setText(""), onSlot({ source, id: null }))} />
    <div class="row load">
      ${on
        ? html`<button type="button" onClick=${unload}>${t("chat.unload")}</button>`
        : html`<button type="button" class="main" disabled=${!(slot.source || text) || busy} onClick=${() => load()}>
            ${t("chat.load")}
          </button>`}
      <${How} slot=${slot} onSlot=${onSlot} />
    </div>
    ${others.length ? html`<${Others} models=${others} onSlot=${onSlot} />` : null}
    <div class="model-told">
      <${State} loaded=${loaded} load=${load} />
      ${on ? null : html`<${Details} address=${slot.source} />`}
    </div>
  </section>`;
}

/** Models that are loaded already, wherever that was asked for. */
function Others({ models, onSlot }) {
  const take = ({ id, source }) =>
    html`<button type="button" onClick=${() => onSlot({ source, id })}>${source}</button>`;
  return html`<div class="row help" role="group" aria-label=${t("chat.loaded")}>
    <span>${t("chat.loaded")}</span> ${models.map(take)}
  </div>`;
}

/** How a model is loaded: engine, quantizer, device, and whatever else its configuration may say. */
function How({ slot, onSlot }) {
  const [open, setOpen] = useState(false);
  const kinds = slot.kinds ?? {};
  return html`<button type="button" onClick=${() => setOpen(true)}>${t("chat.how")}</button>
    ${open
      ? html`<${Dialog} title=${t("chat.how")} wide onClose=${() => setOpen(false)}>
          ${KINDS.map((kind) => html`<${Options} kind=${kind} value=${kinds[kind]}
            onChange=${(value) => onSlot({ kinds: { ...kinds, [kind]: value } })} />`)}
          <label>${t("chat.device")}
            <input class="wide" value=${slot.device ?? ""} placeholder=${t("chat.device_free")}
              onInput=${(event) => onSlot({ device: event.target.value })} />
          </label>
          <label>${t("chat.lines")}
            <textarea class="code" rows="4" spellcheck=${false} placeholder=${LINES} value=${slot.lines ?? ""}
              onInput=${(event) => onSlot({ lines: event.target.value })}></textarea>
          </label>
          <p class="help">${t("chat.lines_help")}</p>
        </${Dialog}>`
      : null}`;
}

function State({ loaded, load }) {
  const [log, setLog] = useState(null);
  if (!loaded) return html`<p class="help" aria-live="polite">${t("chat.not_loaded")}</p>`;
  const { state, why, memory, conclusion } = loaded;
  const shownLog = async () => setLog(await attempt(async () => (await logOf(loaded.id)) || "–"));
  return html`<div aria-live="polite">
    <p class="help">
      <span class=${`badge ${{ ready: "good", failed: "bad" }[state] ?? ""}`}>${t(`chat.states.${state}`)}</span>
      ${memory ? html` <span title=${conclusion}>${t("chat.memory", { memory: bytes(memory) })}</span>` : null}
      ${state === "ready" ? html`<br /><${Facts} loaded=${loaded} />` : null}
    </p>
    ${state === "loading"
      ? html`<progress aria-label=${t("chat.states.loading")}></progress>
          <p class="help"><${Since} moment=${loaded.created} /> ${loaded.last_line}</p>`
      : null}
    ${why ? html`<pre class=${state === "failed" ? "bad" : "soft"}>${why}</pre>` : null}
    <div class="row">
      ${state === "failed" && loaded.fits === false
        ? html`<button type="button" onClick=${() => load(true)}>${t("chat.anyway")}</button>`
        : null}
      ${state === "planning"
        ? null
        : html`<button type="button" class="plain" onClick=${shownLog}>${t("chat.log")}</button>`}
    </div>
    ${log === null
      ? null
      : html`<${Dialog} title=${t("chat.log")} wide onClose=${() => setLog(null)}><pre>${log}</pre></${Dialog}>`}
  </div>`;
}

/** How long something goes on already; not told again each second by who reads the page aloud. */
function Since({ moment }) {
  const [now, set] = useState(Date.now());
  useEffect(() => {
    const ticks = setInterval(() => set(Date.now()), 1000);
    return () => clearInterval(ticks);
  }, []);
  return html`<span aria-live="off">${duration(Math.max(0, now / 1000 - moment))}</span>`;
}

const logOf = async (id) => (await request("GET", `chats/models/${id}/log`)).text();

function Facts({ loaded }) {
  const { can, context_length: context, template } = loaded;
  const able = ["tools", "reasoning"].filter((name) => can[name]).map((name) => t(`chat.can.${name}`));
  const media = (can.media ?? []).map((kind) => t(`chat.media.${kind}`));
  const length = context && t("chat.context", { count: context, tokens: integer(context) });
  const facts = [length, template, ...able, ...media];
  return html`<span class="soft">${facts.filter(Boolean).join(" · ")}</span>`;
}
