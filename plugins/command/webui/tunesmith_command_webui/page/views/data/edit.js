// A row that is changed: its messages as a form, or its record as JSON.
import { html, useState } from "../../lib/html.js";
import { get, post } from "../../lib/api.js";
import { t } from "../../lib/i18n.js";
import { Dialog } from "../../components/dialog.js";
import { attempt } from "../../components/toast.js";
import { Failed, query } from "./words.js";

const LISTS = ["messages", "prompt", "completion", "chosen", "rejected"];
const CONFLICT = 409; // the status of a change to a row that somebody else changed
const ROLES = ["system", "user", "assistant", "tool"];

export function Edit({ data, row, author, onDone, onClose }) {
  const [content, setContent] = useState(row.content);
  const [json, setJson] = useState(JSON.stringify(row.record, null, 2));
  const [asJson, setAsJson] = useState(!row.content);
  const [error, setError] = useState(null);
  const [now, setNow] = useState(null); // the row as somebody else left it meanwhile
  const revision = (now ?? row).marks.revision;
  const again = async () => {
    const told = await attempt(() => get(`data/rows?${query({ data, only: row.row })}`));
    if (told) (setNow(told.items[0]), setError(null));
  };
  const save = async (event) => {
    event.preventDefault();
    try {
      const given = asJson ? { value: JSON.parse(json) } : { content };
      await post("data/notes", { data, row: row.row, author, action: "edit", revision, ...given });
      onDone();
    } catch (failed) {
      setError(failed);
    }
  };
  const changed = content !== row.content || (asJson && json !== JSON.stringify(row.record, null, 2));
  return html`<${Dialog} wide title=${t("data.edit.title", row)} changed=${changed} onClose=${onClose}>
    <form onSubmit=${save}>
      <label><input type="checkbox" checked=${asJson} disabled=${!row.content} onChange=${() => setAsJson(!asJson)} />
        ${" "}${t("data.edit.json")}</label>
      ${asJson
        ? html`<label>${t("data.edit.record")}
            <textarea class="code wide" rows="18" value=${json}
              onInput=${(event) => setJson(event.target.value)}></textarea></label>`
        : html`<${Fields} content=${content} onChange=${setContent} />`}
      <${Failed} error=${error?.message} />
      ${error?.status === CONFLICT
        ? html`<p><button type="button" onClick=${again}>${t("data.edit.again")}</button></p>` : null}
      ${now ? html`<${Meanwhile} row=${now} />` : null}
      <p class="help">${t("data.edit.help")}</p>
      <footer class="row"><button type="button" onClick=${onClose}>${t("page.cancel")}</button>
        <button class="main">${t("data.edit.save")}</button></footer>
    </form>
  </${Dialog}>`;
}

/** What a row has become since its form was opened; what was typed stays beside it. */
function Meanwhile({ row }) {
  return html`<section role="status"><h3>${t("data.edit.meanwhile", { author: row.marks.changed_by ?? "" })}</h3>
    <pre class="code" tabindex="0">${JSON.stringify(row.record, null, 2)}</pre>
    <p class="help">${t("data.edit.over")}</p></section>`;
}

function Fields({ content, onChange }) {
  const put = (name, value) => onChange({ ...content, [name]: value });
  return html`
    ${typeof content.text === "string"
      ? html`<label>${t("data.edit.text")} <textarea class="wide" rows="14" value=${content.text}
          onInput=${(event) => put("text", event.target.value)}></textarea></label>`
      : null}
    ${LISTS.filter((name) => content[name]).map(
      (name) => html`<${Messages} key=${name} name=${name} messages=${content[name]}
        onChange=${(value) => put(name, value)} />`,
    )}
    ${typeof content.label === "boolean"
      ? html`<label><input type="checkbox" checked=${content.label} onChange=${() => put("label", !content.label)} />
          ${" "}${t("data.good")}</label>`
      : null}`;
}

function Messages({ name, messages, onChange }) {
  const change = (index, values) => onChange(messages.map((one, at) => (at === index ? { ...one, ...values } : one)));
  const drop = (index) => onChange(messages.filter((_, at) => at !== index));
  const add = () => {
    const role = messages.at(-1)?.role === "user" ? "assistant" : "user";
    onChange([...messages, { role, content: "" }]);
  };
  return html`<fieldset><legend>${t(`data.edit.lists.${name}`)}</legend>
    ${messages.map((message, index) => html`<${MessageForm} key=${index} message=${message} number=${index + 1}
      onChange=${(values) => change(index, values)} onDrop=${() => drop(index)} />`)}
    ${["messages", "prompt"].includes(name)
      ? html`<button type="button" onClick=${add}>${t("data.edit.add")}</button>` : null}
  </fieldset>`;
}

function MessageForm({ message, number, onChange, onDrop }) {
  const roles = ROLES.includes(message.role) ? ROLES : [...ROLES, message.role];
  const plain = typeof message.content === "string";
  const lines = plain ? Math.min(12, 2 + Math.ceil(message.content.length / 90)) : 0;
  return html`<div class="message-form">
    <div class="row">
      <select aria-label=${t("data.edit.role", { number })} value=${message.role}
        onChange=${(event) => onChange({ role: event.target.value })}>
        ${roles.map((role) => html`<option value=${role} key=${role}>${role}</option>`)}</select>
      <button type="button" class="small" aria-label=${t("data.edit.drop", { number })} onClick=${onDrop}>×</button>
    </div>
    ${message.reasoning !== undefined
      ? html`<label>${t("data.reasoning")} <textarea class="wide" rows="3" value=${message.reasoning}
          onInput=${(event) => onChange({ reasoning: event.target.value })}></textarea></label>`
      : null}
    ${plain
      ? html`<textarea class="wide" rows=${lines} value=${message.content}
          aria-label=${t("data.edit.content", { number })}
          onInput=${(event) => onChange({ content: event.target.value })}></textarea>`
      : html`<p class="help">${t("data.edit.parts")}</p>`}
  </div>`;
}
