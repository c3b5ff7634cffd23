// What a configuration begins with: a recipe, a file of one's own, or nothing.
import { html, useEffect, useRef, useState } from "../../lib/html.js";
import { get } from "../../lib/api.js";
import { t } from "../../lib/i18n.js";
import { attempt, complain, tell } from "../../components/toast.js";

export function Begin({ draft }) {
  const [recipes, setRecipes] = useState([]);
  const file = useRef();
  useEffect(() => void get("recipes").then(({ items }) => setRecipes(items), complain), []);
  const take = (given, name) =>
    attempt(async () => {
      const found = await draft.take(given);
      if (found.values === null) throw new Error([`${name}:`, ...found.problems.map(inWords)].join("\n"));
      tell(t("train.begun", { name }));
    });
  const opened = async ({ target }) => {
    const [chosen] = target.files;
    if (chosen) await take({ text: await chosen.text() }, chosen.name);
    target.value = "";
  };
  const chosen = recipes.length ? t("train.recipe") : t("train.noRecipes");
  return html`<div class="row begin">
    <label class="grow"><span class="unseen">${t("train.recipe")}</span>
      <select class="wide" value="" disabled=${!recipes.length}
        onChange=${({ target }) => target.value && take({ source: target.value }, target.value)}>
        <option value="">${chosen} …</option>
        ${recipes.map((recipe) => html`<option value=${recipe.name}>${titleOf(recipe)}</option>`)}
      </select></label>
    <button type="button" onClick=${() => file.current.click()}>${t("train.openFile")}</button>
    <input type="file" hidden accept=".yaml,.yml,.json" ref=${file} onChange=${opened} />
    <button type="button" disabled=${!draft.undo} onClick=${() => draft.undo?.()}>${t("train.undo")}</button>
    <button type="button" disabled=${!Object.keys(draft.values).length} onClick=${draft.clear}>
      ${t("train.empty")}</button>
  </div>`;
}

const inWords = ({ message, advice }) => [message, advice].filter(Boolean).join("\n");
const titleOf = ({ name, title }) => [name.replace(/^conf\/|\.yaml$/g, ""), title].filter(Boolean).join(" – ");
