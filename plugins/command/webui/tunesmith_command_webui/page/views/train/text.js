// The configuration as a file and as a command line: copied with one click, edited by hand or pasted, and read back.
import { html, useEffect, useId, useState } from "../../lib/html.js";
import { t } from "../../lib/i18n.js";
import { Copy } from "../../components/copy.js";
import { attempt, tell } from "../../components/toast.js";

export function Texts({ draft }) {
  const { yaml = "", command = "" } = draft.answer ?? {};
  return html`<section class="card texts" aria-label=${t("train.texts")}>
    <${Text} draft=${draft} label=${t("train.yaml")} kept=${yaml} rows="9" field="text">
      <${Save} text=${yaml} /></${Text}>
    <${Text} draft=${draft} label=${t("train.command")} kept=${command} rows="3" field="command" wraps />
  </section>`;
}

/** A text of the draft, which is the draft again once it is read back. */
function Text({ draft, label, kept, rows, field, wraps, children }) {
  const id = useId();
  const text = draft.typed[field] ?? null; // null while nothing was typed
  const setText = (typed) => draft.type(field, typed);
  const [wrong, setWrong] = useState([]);
  const shown = text ?? kept;
  const drop = () => (setText(null), setWrong([]));
  useEffect(() => setWrong([]), [draft.values]);
  const read = async () => {
    const found = await draft.take({ [field]: shown });
    if (found.values === null) return setWrong(found.problems);
    setText(null);
    tell(found.comments ? t("train.commentsLost") : t("train.readBack"));
  };
  const back = () => attempt(() => read().catch((error) => setWrong([{ message: error.message }])));
  const keyed = (event) => {
    if (event.key === "Enter" && (event.ctrlKey || event.metaKey)) event.preventDefault(), back();
  };
  return html`
    <label for=${id}>${label}</label>
    <textarea id=${id} class=${wraps ? "code wraps" : "code"} rows=${rows} spellcheck=${false} value=${shown}
      aria-invalid=${wrong.length > 0} aria-describedby=${text === null ? null : `${id}-help`}
      onInput=${({ target }) => setText(target.value)} onKeyDown=${keyed}></textarea>
    ${text === null ? null : html`<p class="help" id=${`${id}-help`}>${t("train.yamlHelp")}</p>`}
    ${wrong.map((problem) => html`<pre class="bad" role="alert">${inWords(problem)}</pre>`)}
    <div class="row">
      <${Copy} text=${shown} />
      ${text === null
        ? children
        : html`<button type="button" class="main" onClick=${back}>${t("train.read")}</button>
            <button type="button" onClick=${drop}>${t("train.discard")}</button>`}
    </div>`;
}

const inWords = ({ message, advice }) => [message, advice].filter(Boolean).join("\n");

/** A link by which the browser keeps the text as a file. */
function Save({ text }) {
  const save = () => {
    const link = document.createElement("a");
    link.href = URL.createObjectURL(new Blob([text], { type: "application/yaml" }));
    link.download = "train.yaml";
    link.click();
    URL.revokeObjectURL(link.href);
  };
  return html`<button type="button" onClick=${save}>${t("train.save")}</button>`;
}
