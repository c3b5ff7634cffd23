// Short messages at the edge of the page: what was done, or why it was not.
import { html, useEffect, useState } from "../lib/html.js";
import { t } from "../lib/i18n.js";

const places = []; // where toasts are shown: the page's own, and one in each dialog that is open

/** Errors are shown where one is; what was done on the page, for a dialog closes once it is. */
const add = (toast) => (toast.kind === "alert" ? places.at(-1) : places[0])?.(toast);

/** Say something for a few seconds; an error stays until it is closed. */
export const tell = (text) => add({ text, kind: "status" });
export const complain = ({ message }) =>
  add({ text: message === "unreachable" ? t("page.unreachable") : message, kind: "alert" });

/** Do something, and complain where it fails; null then. */
export async function attempt(what) {
  try {
    return await what();
  } catch (error) {
    if (error.name !== "AbortError") complain(error);
    return null;
  }
}

/** @param {{inside?: boolean}} properties inside: of a dialog, at its head */
export function Toasts({ inside }) {
  const [shown, set] = useState([]);
  useEffect(() => {
    let number = 0;
    const show = (toast) => {
      const one = { ...toast, number: number++ };
      set((others) => [...others.slice(-4), one]);
      if (toast.kind === "status") setTimeout(() => set((all) => all.filter((other) => other !== one)), 4000);
    };
    places.push(show);
    return () => void places.splice(places.indexOf(show), 1);
  }, []);
  useEffect(() => {
    const leave = () => set((all) => all.filter(({ kind }) => kind !== "alert")); // errors of the view that was left
    addEventListener("hashchange", leave);
    return () => removeEventListener("hashchange", leave);
  }, []);
  const close = (toast) => set((all) => all.filter((other) => other !== toast));
  return html`<div class=${inside ? "toasts inside" : "toasts"}>
    ${shown.map(
      (toast) => html`<div key=${toast.number} class=${`toast ${toast.kind}`} role=${toast.kind}>
        <pre>${toast.text}</pre>
        <button type="button" class="plain" aria-label=${t("page.close")} onClick=${() => close(toast)}>×</button>
      </div>`,
    )}
  </div>`;
}
