// The configuration as a file and as a command line: copied with one click; the file is edited by hand and read back.
import { html, useEffect, useState } from "../../lib/html.js";
import { t } from "../../lib/i18n.js";
import { Copy } from "../../components/copy.js";
import { Tabs } from "../../components/tabs.js";
import { attempt, tell } from "../../components/toast.js";

export function Texts({ draft }) {
  const [now, setNow] = useState("yaml");
  const tabs = [
    { id: "yaml", label: t("train.yaml"), content: () => html`<${Yaml} draft=${draft} />` },
    { id: "command", label: t("train.command"), content: () => html`<${Command} draft=${draft} />` },
  ];
  return html`<section class="card" aria-label=${t("train.texts")}>
    <${Tabs} label=${t("train.texts")} tabs=${tabs} now=${now} onChange=${setNow} /></section>`;
}

function Command({ draft }) {
  const text = draft.answer?.command ?? "";
  return html`<pre class="code" tabindex="0" aria-label=${t("train.command")}>${text}</pre><div class="row"><${Copy} text=${text} /></div>`;
}

function Yaml({ draft }) {
  const [text, setText] = useState(null); // null while nothing was typed
  const [wrong, setWrong] = useState([]);
  const shown = text ?? draft.answer?.yaml ?? "";
  useEffect(() => setWrong([]), [draft.values]);
  const back = () =>
    attempt(async () => {
      const found = await draft.take({ text: shown });
      if (found.values === null) return setWrong(found.problems);
      setText(null);
      tell(found.comments ? t("train.commentsLost") : t("train.readBack"));
    });
  const keyed = (event) => {
    if (event.key === "Enter" && (event.ctrlKey || event.metaKey)) event.preventDefault(), back();
  };
  return html`
    <textarea class="code" rows="14" spellcheck=${false} aria-label=${t("train.yaml")} value=${shown}
      aria-invalid=${wrong.length > 0} aria-describedby="yaml-help"
      onInput=${({ target }) => setText(target.value)} onKeyDown=${keyed}></textarea>
    <p class="help" id="yaml-help">${t("train.yamlHelp")}</p>
    ${wrong.map((problem) => html`<p class="bad" role="alert"><pre>${[problem.message, problem.advice].filter(Boolean).join("\n")}</pre></p>`)}
    <div class="row">
      <${Copy} text=${shown} />
      <button type="button" class=${text === null ? null : "main"} disabled=${text === null} onClick=${back}>${t("train.read")}</button>
      ${text === null ? null : html`<button type="button" onClick=${() => (setText(null), setWrong([]))}>${t("train.discard")}</button>`}
      <${Save} text=${shown} />
    </div>`;
}

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
