// One message: what was said, thought, called and shown, and what can be done with it.
import { html, useEffect, useRef, useState } from "../../lib/html.js";
import { integer, number } from "../../lib/format.js";
import { t } from "../../lib/i18n.js";
import { Copy } from "../../components/copy.js";
import { Markdown } from "../../components/markdown.js";
import { Medium } from "./media.js";
import { Probabilities } from "./probabilities.js";
import { contentOf, lastLeaf, mediaOf, siblings, textOf } from "./tree.js";

/**
 * @param {{node: object, nodes: object[], actions: object, name: string, busy: boolean, last: boolean,
 *          secret: boolean}} properties `secret` hides what tells models apart
 */
export function Message({ node, nodes, actions, name, busy, last, secret, editing, onEdit }) {
  const text = textOf(node.content);
  const who = node.role === "assistant" ? name : t(`chat.roles.${node.role}`);
  return html`<article class=${`turn ${node.role}`} aria-label=${who}>
    <header class="row">
      <strong>${who}</strong>
      ${node.role === "tool" ? html`<code>${node.name}</code>` : null}
      <${Branches} node=${node} nodes=${nodes} choose=${actions.choose} disabled=${busy} />
    </header>
    ${node.reasoning ? html`<${Thought} text=${node.reasoning} />` : null}
    <div class="row">${mediaOf(node.content).map((each) => html`<${Medium} ...${each} />`)}</div>
    ${editing
      ? html`<${Editor} node=${node} actions=${actions} onClose=${() => onEdit(null)} />`
      : html`<${Said} node=${node} text=${text} />`}
    ${(node.tool_calls ?? []).map((call) => html`<${Call} call=${call} />`)}
    ${node.tool_calls && last && !busy ? html`<${Results} node=${node} answer=${actions.answerCalls} />` : null}
    <footer class="row">
      ${secret ? null : html`<${Figures} node=${node} />`}
      <${Acts} node=${node} text=${text} actions=${actions} busy=${busy} last=${last} edit=${() => onEdit(node.id)} />
    </footer>
  </article>`;
}

/** An answer that is being written. */
export function Growing({ answer, name }) {
  const { content, reasoning, former } = answer;
  return html`<article class="turn assistant" aria-label=${name} aria-busy="true">
    <header class="row"><strong>${name}</strong> <span class="soft">${t("chat.writing")}</span></header>
    ${reasoning ? html`<${Thought} text=${reasoning} open=${!content} />` : null}
    <${Markdown} text=${(former?.content ?? "") + content} />
    ${(answer.tool_calls ?? []).map((call) => html`<${Call} call=${call} />`)}
  </article>`;
}

function Said({ node, text }) {
  const [shown, show] = useState(false);
  if (node.role !== "assistant") return text ? html`<div class="said">${text}</div>` : null;
  return html`${shown ? html`<${Probabilities} tokens=${node.logprobs} />` : html`<${Markdown} text=${text} />`}
    ${node.logprobs
      ? html`<button type="button" class="plain" aria-pressed=${String(shown)} onClick=${() => show(!shown)}>
          ${t("chat.probabilities")}
        </button>`
      : null}`;
}

function Thought({ text, open = false }) {
  return html`<details class="thought" open=${open}>
    <summary>${t("chat.thought")}</summary>
    <${Markdown} text=${text} />
  </details>`;
}

function Branches({ node, nodes, choose, disabled }) {
  const all = siblings(nodes, node);
  if (all.length < 2) return null;
  const at = all.indexOf(node);
  const go = (to) => choose(node, lastLeaf(nodes, all[to].id));
  const step = (to, sign, key) => html`<button type="button" class="plain" disabled=${disabled || !all[to]}
    aria-label=${t(`chat.${key}`)} onClick=${() => go(to)}>${sign}</button>`;
  return html`<span class="branches" role="group" aria-label=${t("chat.branches")}>
    ${step(at - 1, "‹", "former")} ${integer(at + 1)}/${integer(all.length)} ${step(at + 1, "›", "next")}
  </span>`;
}

function Figures({ node }) {
  const tokens = node.usage?.completion_tokens;
  const writing = (node.seconds ?? 0) - (node.first ?? 0);
  const parts = [
    tokens && t("chat.tokens", { count: tokens, tokens: integer(tokens) }),
    node.usage && t("chat.of_prompt", { tokens: integer(node.usage.prompt_tokens) }),
    tokens > 1 && writing > 0 && t("chat.speed", { speed: number((tokens - 1) / writing, 3) }),
    node.first && t("chat.first", { seconds: number(node.first, 2) }),
  ];
  const end = node.finish && node.finish !== "stop" && t(`chat.finish.${node.finish}`);
  return html`${end ? html`<span class="badge warning">${end}</span>` : null}
    <span class="soft figures">${parts.filter(Boolean).join(" · ")}</span>`;
}

function Acts({ node, text, actions, busy, last, edit }) {
  const button = (key, act, more = {}) =>
    html`<button type="button" class="plain" disabled=${busy} onClick=${act} ...${more}>${t(`chat.${key}`)}</button>`;
  const answer = node.role === "assistant";
  const rated = (value) => ({ "aria-pressed": String(node.rating === value) });
  return html`<span class="acts">
    <${Copy} text=${text} />
    ${button("edit", edit)}
    ${answer ? button("retry", () => actions.retry(node)) : null}
    ${!answer && last ? button("answer", () => actions.answer(node)) : null}
    ${answer && last && !node.tool_calls ? button("go_on", () => actions.goOn(node)) : null}
    ${answer ? button("good", () => actions.rate(node, "good"), rated("good")) : null}
    ${answer ? button("bad", () => actions.rate(node, "bad"), rated("bad")) : null}
    ${answer ? button("as_row", () => actions.asRow(node)) : null}
    ${button("delete", () => actions.remove(node))}
  </span>`;
}

/** A message as it should have been: a branch of its own; a question that was changed is asked. */
function Editor({ node, actions, onClose }) {
  const [text, set] = useState(textOf(node.content));
  const field = useRef();
  useEffect(() => field.current.focus(), []);
  const save = () => (onClose(), actions.edit(node, contentOf(text, mediaOf(node.content))));
  const typed = (event) => {
    if (event.key === "Escape") (event.stopPropagation(), onClose());
    if (event.key === "Enter" && (event.ctrlKey || event.metaKey)) save();
  };
  const rows = Math.min(20, text.split("\n").length + 1);
  return html`<div onKeyDown=${typed}>
    <textarea ref=${field} class="wide" rows=${rows} aria-label=${t("chat.edit")} value=${text}
      onInput=${(event) => set(event.target.value)}></textarea>
    <div class="row">
      <button type="button" class="main" onClick=${save}>
        ${node.role === "assistant" ? t("chat.keep") : t("chat.ask_again")}
      </button>
      <button type="button" onClick=${onClose}>${t("page.cancel")}</button>
    </div>
  </div>`;
}

function pretty(text) {
  try {
    return JSON.stringify(JSON.parse(text), null, 2);
  } catch {
    return text; // a model may write broken JSON
  }
}

function Call({ call }) {
  return html`<div class="call">
    <strong>${t("chat.call")}</strong> <code>${call.function.name}</code>
    <pre class="code">${pretty(call.function.arguments)}</pre>
  </div>`;
}

/** What the tools gave, as the user says. */
function Results({ node, answer }) {
  const [given, set] = useState(node.tool_calls.map(() => ""));
  const put = (index, text) => set(given.map((other, at) => (at === index ? text : other)));
  return html`<form class="results" onSubmit=${(event) => (event.preventDefault(), answer(node, given))}>
    ${node.tool_calls.map(
      (call, index) => html`<label>${t("chat.result", { name: call.function.name })}
        <textarea class="code" rows="2" value=${given[index]}
          onInput=${(event) => put(index, event.target.value)}></textarea>
      </label>`,
    )}
    <button class="main">${t("chat.give")}</button>
  </form>`;
}
