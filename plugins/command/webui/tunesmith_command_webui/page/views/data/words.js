// What several parts of the view say or ask in the same way.
import { html, useEffect, useState } from "../../lib/html.js";
import { get } from "../../lib/api.js";
import { t } from "../../lib/i18n.js";

/** An answer of the interface: null while it is awaited; `again` asks once more. */
export function useAnswer(path) {
  const [state, set] = useState({ answer: null, error: null });
  const [turn, setTurn] = useState(0);
  useEffect(() => {
    if (!path) return undefined;
    const asked = new AbortController();
    get(path, asked.signal).then(
      (answer) => set({ answer, error: null }),
      (error) => error.name !== "AbortError" && set({ answer: null, error: error.message }),
    );
    return () => asked.abort();
  }, [path, turn]);
  return { ...state, again: () => setTurn((now) => now + 1) };
}

/** Who judges and saves; the browser remembers it. */
export function useAuthor() {
  const [author, set] = useState(localStorage.getItem("author") ?? "");
  const change = (name) => (localStorage.setItem("author", name), set(name));
  return [author, change];
}

/** The part of an address behind `?`, without what is not given. */
export const query = (values) =>
  new URLSearchParams(Object.entries(values).filter(([, value]) => value !== "" && value != null));
export const linkTo = (data) => `#data/${encodeURIComponent(data)}`;

/** `train.json` → `train-NAME.jsonl`, in the same folder. */
export const beside = (path, what) => `${path.replace(/(\.[a-z]+)+$/i, "")}-${what}.jsonl`;

export function Failed({ error }) {
  return error ? html`<pre class="bad" role="alert">${error}</pre>` : null;
}

export function Loading() {
  return html`<p aria-busy="true">${t("page.loading")}</p>`;
}
