// Tags and notes of a run.
import { html, useState } from "../../lib/html.js";
import { patch } from "../../lib/api.js";
import { t } from "../../lib/i18n.js";
import { Markdown } from "../../components/markdown.js";
import { attempt } from "../../components/toast.js";

export function Notes({ run, onNoted }) {
  const [text, setText] = useState(null); // while it is edited
  const [tag, setTag] = useState("");
  const save = async (change) => {
    const row = await attempt(() => patch(`runs/${encodeURIComponent(run.name)}`, change));
    if (row) onNoted({ tags: row.tags, notes: row.notes });
    return row;
  };
  const add = async (event) => {
    event.preventDefault();
    if (tag.trim() && (await save({ tags: [...run.tags, tag] }))) setTag("");
  };
  const keep = async () => {
    if (await save({ notes: text })) setText(null);
  };
  const shown = (each) => html`<li class="tag" key=${each}>${each}
    <button type="button" class="plain" aria-label=${t("table.remove", { name: each })}
      onClick=${() => save({ tags: run.tags.filter((other) => other !== each) })}>×</button></li>`;
  return html`<section class="card">
    <h3>${t("runs.fields.tags")}</h3>
    ${run.tags.length ? html`<ul class="tags">${run.tags.map(shown)}</ul>` : null}
    <form class="row" onSubmit=${add}>
      <label class="grow"><span class="unseen">${t("runs.new_tag")}</span>
        <input type="text" maxlength="60" placeholder=${t("runs.new_tag")} value=${tag}
          onInput=${({ target }) => setTag(target.value)} /></label>
      <button disabled=${!tag.trim()}>${t("runs.add")}</button>
    </form>
    <h3>${t("runs.notes")}</h3>
    ${text === null
      ? html`${run.notes ? html`<${Markdown} text=${run.notes} />` : html`<p class="soft">${t("runs.no_notes")}</p>`}
          <button type="button" onClick=${() => setText(run.notes)}>${t("runs.edit")}</button>`
      : html`<label><span class="unseen">${t("runs.notes")}</span>
            <textarea class="code" rows="8" value=${text}
              onInput=${({ target }) => setText(target.value)}></textarea></label>
          <p class="help">${t("runs.markdown")}</p>
          <div class="row"><button type="button" class="main" onClick=${keep}>${t("runs.save")}</button>
            <button type="button" onClick=${() => setText(null)}>${t("page.cancel")}</button></div>`}
  </section>`;
}
