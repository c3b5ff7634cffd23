// How answers are made: system prompt, sampling, thinking, tools.
import { html, useId } from "../../lib/html.js";
import { t } from "../../lib/i18n.js";
import { checkedTools } from "./answering.js";

// name, least, most, step; an empty field is the model's own value
const NUMBERS = [
  ["temperature", 0, 5, 0.05],
  ["top_p", 0, 1, 0.01],
  ["top_k", -1, 1000, 1],
  ["min_p", 0, 1, 0.01],
  ["max_tokens", 1, 1000000, 1],
  ["repetition_penalty", 0.01, 5, 0.01],
  ["presence_penalty", -2, 2, 0.1],
  ["frequency_penalty", -2, 2, 0.1],
  ["seed", 0, 2147483647, 1],
];

export const DEFAULTS = { system: "", stop: "", greedy: false, thinking: "", logprobs: false, tools: "" };

const EXAMPLE = [
  {
    name: "get_weather",
    description: "The weather of a city now",
    parameters: { type: "object", properties: { city: { type: "string" } }, required: ["city"] },
  },
];

/** @param {{settings: object, set: (part: object) => void, can: object}} properties */
export function Settings({ settings, set, can }) {
  return html`<details class="card" open=${Boolean(settings.system)}>
      <summary>${t("chat.system")}</summary>
      <label><span class="unseen">${t("chat.system")}</span>
        <textarea class="wide" rows="4" placeholder=${t("chat.system_help")} value=${settings.system}
          onInput=${(event) => set({ system: event.target.value })}></textarea>
      </label>
    </details>
    <details class="card">
      <summary>${t("chat.sampling")}</summary>
      <${Sampling} settings=${settings} set=${set} can=${can} />
    </details>
    <details class="card" open=${Boolean(settings.tools)}>
      <summary>${t("chat.tools")}</summary>
      <${Tools} settings=${settings} set=${set} can=${can} />
    </details>`;
}

function Sampling({ settings, set, can }) {
  const typed = (name) => ({ target }) => set({ [name]: target.validity.valid ? target.value : "" });
  const number = ([name, least, most, step]) => html`<label>${t(`chat.fields.${name}`)}
    <input type="number" min=${least} max=${most} step=${step} value=${settings[name] ?? ""} onInput=${typed(name)}
      placeholder=${t("chat.default")} disabled=${name === "temperature" && settings.greedy} />
  </label>`;
  const check = (name) => html`<label class="check">
    <input type="checkbox" checked=${settings[name]}
      onChange=${(event) => set({ [name]: event.target.checked })} /> ${t(`chat.fields.${name}`)}
  </label>`;
  return html`<div class="sampling">${NUMBERS.map(number)}</div>
    ${check("greedy")} ${check("logprobs")}
    <label class="check">${t("chat.fields.thinking")}
      <select value=${settings.thinking} disabled=${!can.switches_thinking}
        onChange=${(event) => set({ thinking: event.target.value })}>
        ${["", "on", "off"].map(thinking)}
      </select>
    </label>
    <label>${t("chat.fields.stop")}
      <textarea rows="2" class="wide code" spellcheck=${false} value=${settings.stop}
        onInput=${(event) => set({ stop: event.target.value })}></textarea>
    </label>
    <button type="button" onClick=${() => set(cleared())}>${t("chat.reset")}</button>`;
}

const thinking = (value) => html`<option value=${value}>${t(`chat.thinking.${value || "own"}`)}</option>`;

/** Everything about sampling as the model has it by itself. */
function cleared() {
  const { system, tools, ...others } = DEFAULTS;
  return { ...others, ...Object.fromEntries(NUMBERS.map(([name]) => [name, ""])) };
}

function Tools({ settings, set, can }) {
  const id = useId();
  const fault = faultOf(settings.tools);
  const exemplify = () => set({ tools: JSON.stringify(EXAMPLE, null, 2) });
  return html`<textarea class="code" rows="6" spellcheck=${false} aria-label=${t("chat.tools")} aria-describedby=${id}
      aria-invalid=${String(Boolean(fault))} value=${settings.tools}
      onInput=${(event) => set({ tools: event.target.value })}></textarea>
    <p id=${id} class=${`help ${fault ? "bad" : ""}`} aria-live="polite">
      ${fault || (settings.tools && can.answers && !can.tools ? t("chat.no_tools") : t("chat.tools_help"))}
    </p>
    ${settings.tools ? null : html`<button type="button" onClick=${exemplify}>${t("chat.example")}</button>`}`;
}

function faultOf(text) {
  if (!text.trim()) return "";
  try {
    checkedTools(text);
    return "";
  } catch (error) {
    return error.message;
  }
}
