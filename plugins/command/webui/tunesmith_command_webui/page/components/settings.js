// Language, theme, and the way out.
import { html, useEffect, useState } from "../lib/html.js";
import { remove } from "../lib/api.js";
import { language, languages, speak, t } from "../lib/i18n.js";
import { attempt } from "./toast.js";

const THEMES = ["system", "light", "dark"];

/** @param {{canLeave: boolean}} properties */
export function Settings({ canLeave }) {
  const leave = () => attempt(async () => (await remove("session"), dispatchEvent(new Event("signed-out"))));
  return html`<${Language} /><${Theme} />
    ${canLeave && html`<button type="button" onClick=${leave}>${t("page.sign_out")}</button>`}`;
}

function Language() {
  const option = ([name, own]) => html`<option value=${name} lang=${name}>${own}</option>`;
  return html`<select aria-label=${t("page.language")} value=${language}
    onChange=${(event) => speak(event.target.value)}>
    ${Object.entries(languages).map(option)}
  </select>`;
}

function Theme() {
  const [theme, set] = useState(document.documentElement.dataset.theme);
  useEffect(() => {
    localStorage.setItem("theme", theme);
    document.documentElement.dataset.theme = theme;
  }, [theme]);
  const options = THEMES.map((name) => html`<option value=${name}>${t(`page.themes.${name}`)}</option>`);
  return html`<select aria-label=${t("page.theme")} value=${theme} onChange=${(event) => set(event.target.value)}>
    ${options}
  </select>`;
}
