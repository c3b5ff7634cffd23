// A conversation, an answer that was rated, or one that was preferred, as a row of training data.
import { html, useState } from "../../lib/html.js";
import { post } from "../../lib/api.js";
import { integer } from "../../lib/format.js";
import { t } from "../../lib/i18n.js";
import { Dialog } from "../../components/dialog.js";
import { attempt, tell } from "../../components/toast.js";

const FILES = { sft: "data/chat.jsonl", kto: "data/chat_kto.jsonl", dpo: "data/chat_dpo.jsonl" };

/**
 * @param {{messages: object[], tools: object[], rating?: string, rejected: object | null,
 *          onClose: () => void}} properties
 *   `rejected` is a worse answer in the place of the last message
 */
export function SaveRow({ messages, tools, rating, rejected, onClose }) {
  const kinds = ["sft", ...(rejected ? ["dpo"] : []), "kto"];
  const [kind, setKind] = useState(rejected ? "dpo" : rating ? "kto" : "sft");
  const [good, setGood] = useState(rating !== "bad");
  const [file, setFile] = useState(null);
  const name = file ?? localStorage.getItem(`chat-file-${kind}`) ?? FILES[kind];
  const save = (event) => {
    event.preventDefault();
    attempt(async () => {
      const more = { dpo: { rejected: [rejected] }, kto: { good }, sft: {} }[kind];
      const { rows } = await post("chats/rows", { file: name, messages, tools, ...more });
      localStorage.setItem(`chat-file-${kind}`, name);
      tell(t("chat.row.saved", { file: name, count: rows, rows: integer(rows) }));
      onClose();
    });
  };
  const choice = (each) => html`<label class="check">
    <input type="radio" name="kind" checked=${kind === each}
      onChange=${() => (setKind(each), setFile(null))} /> ${t(`chat.row.${each}`)}
  </label>`;
  return html`<${Dialog} title=${t("chat.row.title")} onClose=${onClose}>
    <form onSubmit=${save}>
      <fieldset><legend>${t("chat.row.kind")}</legend>${kinds.map(choice)}</fieldset>
      ${kind === "kto"
        ? html`<label class="check"><input type="checkbox" checked=${good}
            onChange=${(event) => setGood(event.target.checked)} /> ${t("chat.row.was_good")}</label>`
        : null}
      <label>${t("chat.row.file")}
        <input class="wide" required pattern=".+\\.jsonl" value=${name}
          onInput=${(event) => setFile(event.target.value)} />
      </label>
      <p class="help">${t("chat.row.help")}</p>
      <footer class="row"><button class="main">${t("chat.row.save")}</button></footer>
    </form>
  </${Dialog}>`;
}
