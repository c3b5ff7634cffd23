// Keys for the whole page: "g" and a letter opens a view, "/" searches, "?" tells them. Never while one types.
import { html, useEffect, useRef, useState } from "../lib/html.js";
import { t } from "../lib/i18n.js";
import { Dialog } from "./dialog.js";

const LETTERS = {
  train: "t", watch: "w", jobs: "q", runs: "r", chat: "c", evaluate: "e", export: "x", data: "d", plugins: "p",
};
const PATIENCE = 1500; // ms in which the letter follows

const isTyping = (element) => element.closest("input, textarea, select, [contenteditable]") !== null;

/** Focus the first search field of the view; whether there is one. */
function search() {
  const field = document.querySelector("main input[type=search]");
  field?.focus();
  return Boolean(field);
}

/**
 * @param {{views: string[]}} properties
 */
export function Shortcuts({ views }) {
  const [shown, show] = useState(false);
  const [on, turn] = useState(localStorage.getItem("shortcuts") !== "off");
  const going = useRef(0); // when "g" was pressed
  const active = useRef(on);
  active.current = on;
  useEffect(() => {
    const pressed = (event) => {
      if (event.ctrlKey || event.metaKey || event.altKey || event.defaultPrevented || isTyping(event.target)) return;
      if (document.querySelector("dialog[open]")) return;
      const view = views.find((name) => LETTERS[name] === event.key);
      if (event.key === "?") show(true);
      else if (!active.current) return;
      else if (event.key === "g") going.current = event.timeStamp;
      else if (view && event.timeStamp - going.current < PATIENCE) location.hash = view;
      else if (event.key !== "/" || !search()) return;
      if (event.key !== "g") going.current = 0;
      event.preventDefault();
    };
    addEventListener("keydown", pressed);
    return () => removeEventListener("keydown", pressed);
  }, []);
  useEffect(() => localStorage.setItem("shortcuts", on ? "on" : "off"), [on]);
  const open = html`<button type="button" class="plain unseen-until-focus" onClick=${() => show(true)}>
    ${t("page.keys")}</button>`;
  if (!shown) return open;
  const row = (keys, what) => html`<tr key=${what}>
    <td>${keys.map((key) => html`<kbd>${key}</kbd> `)}</td><td>${what}</td></tr>`;
  return html`${open}<${Dialog} title=${t("page.keys")} onClose=${() => show(false)}>
    <table>
      <thead><tr><th scope="col">${t("page.key")}</th><th scope="col">${t("page.key_does")}</th></tr></thead>
      <tbody>
        ${views.map((name) => row(["g", LETTERS[name]], t("page.key_view", { view: t(`views.${name}`) })))}
        ${row(["/"], t("page.search"))} ${row(["?"], t("page.keys"))} ${row(["Esc"], t("page.close"))}
      </tbody>
    </table>
    <label class="check"><input type="checkbox" checked=${on}
      onChange=${(event) => turn(event.target.checked)} /> ${t("page.keys_on")}</label>
  </${Dialog}>`;
}
