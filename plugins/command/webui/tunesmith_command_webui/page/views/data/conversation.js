// A row as a conversation: who says what, thoughts, calls of tools, media, answers side by side.
import { html } from "../../lib/html.js";
import { t } from "../../lib/i18n.js";
import { query } from "./words.js";

/**
 * @param {{content: object, data: string}} properties a row in canonical form, and the set that it is of
 */
export function Conversation({ content, data, sides = true }) {
  const { tools, images, videos, audios, label, text } = content;
  return html`<div class="conversation">
    ${tools?.length ? html`<details><summary>${t("data.tools", { count: tools.length })}</summary>
      <pre>${JSON.stringify(tools, null, 1)}</pre></details>` : null}
    <${Media} kind="img" paths=${images} data=${data} />
    <${Media} kind="video" paths=${videos} data=${data} />
    <${Media} kind="audio" paths=${audios} data=${data} />
    ${typeof text === "string" ? html`<pre>${text}</pre>` : null}
    ${messagesOf(content).map((message, index) => html`<${Message} key=${index} message=${message} />`)}
    ${content.completion?.map((message, index) => html`<${Message} key=${index} message=${message} />`)}
    ${typeof label === "boolean"
      ? html`<p class=${label ? "good" : "bad"}>${label ? `✓ ${t("data.good")}` : `✗ ${t("data.bad")}`}</p>`
      : null}
    ${sides && content.chosen
      ? html`<div class="sides">
          <section><h4 class="good">✓ ${t("data.chosen")}</h4><${Said} messages=${content.chosen} /></section>
          <section><h4 class="bad">✗ ${t("data.rejected")}</h4><${Said} messages=${content.rejected} /></section>
        </div>`
      : null}
  </div>`;
}

export const messagesOf = (content) => content.messages ?? content.prompt ?? [];

/** Some messages, such as an answer. */
export function Said({ messages }) {
  return messages.map((message, index) => html`<${Message} key=${index} message=${message} />`);
}

function Message({ message }) {
  const { role, content, reasoning, tool_calls: calls, weight, name } = message;
  const weighed = weight !== undefined && weight !== null;
  return html`<div class=${`message ${role}`}>
    <strong class="role">${t(`data.roles.${role}`) === `data.roles.${role}` ? role : t(`data.roles.${role}`)}
      ${name ? html` <code>${name}</code>` : null}
      ${weighed ? html` <small class="soft">${t("data.weight", { weight })}</small>` : null}</strong>
    ${reasoning ? html`<details><summary>${t("data.reasoning")}</summary><pre>${reasoning}</pre></details>` : null}
    <${Content} content=${content} />
    ${calls?.length
      ? html`<pre class="calls" aria-label=${t("data.calls")}>${calls.map(called).join("\n")}</pre>`
      : null}
  </div>`;
}

const called = ({ function: { name, arguments: given } }) =>
  `${name}(${typeof given === "string" ? given : JSON.stringify(given)})`;

function Content({ content }) {
  if (typeof content === "string") return content ? html`<pre>${content}</pre>` : null;
  return (content ?? []).map((part) =>
    part.type === "text" ? html`<pre>${part.text}</pre>` : html`<p class="soft">[${part.type}]</p>`);
}

function Media({ kind, paths, data }) {
  const named = (paths ?? []).filter((path) => typeof path === "string");
  if (!named.length) return null;
  const address = (path) => (/^https?:/.test(path) ? null : `api/data/media?${query({ path, data })}`);
  return html`<div class="media">${named.map((path) => {
    if (!address(path)) return html`<p class="soft">${path} (${t("data.elsewhere")})</p>`;
    if (kind === "img") return html`<img src=${address(path)} alt=${path} loading="lazy" />`;
    return html`<${kind} src=${address(path)} controls preload="none" aria-label=${path}></${kind}>`;
  })}</div>`;
}
