// A text that is copied with one click.
import { html } from "../lib/html.js";
import { t } from "../lib/i18n.js";
import { attempt, tell } from "./toast.js";

export function Copy({ text, label }) {
  const copy = () => attempt(async () => (await navigator.clipboard.writeText(text), tell(t("page.copied"))));
  return html`<button type="button" onClick=${copy}>${label ?? t("page.copy")}</button>`;
}
