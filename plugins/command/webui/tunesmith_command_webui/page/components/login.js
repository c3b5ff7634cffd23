// Signing in, where the page has a password.
import { html, useEffect, useRef, useState } from "../lib/html.js";
import { post } from "../lib/api.js";
import { t } from "../lib/i18n.js";

/** @param {{onIn: (session: object) => void}} properties */
export function Login({ onIn }) {
  const [error, setError] = useState(null);
  const [busy, setBusy] = useState(false);
  const field = useRef();
  useEffect(() => field.current.focus(), []);
  const enter = async (event) => {
    event.preventDefault();
    setBusy(true);
    setError(null);
    try {
      onIn(await post("session", { password: field.current.value }));
    } catch (failure) {
      setError(failure.status === 401 ? t("page.wrong_password") : failure.message);
      setBusy(false);
      field.current.select();
    }
  };
  return html`<form class="card login" onSubmit=${enter}>
    <h2>${t("page.sign_in")}</h2>
    <p class="help">${t("page.sign_in_help")}</p>
    <label for="password">${t("page.password")}</label>
    <input id="password" ref=${field} type="password" autocomplete="current-password" required
      aria-invalid=${error ? "true" : null} aria-describedby="password-error" />
    <p id="password-error" class="bad" role="alert">${error}</p>
    <button class="main" disabled=${busy}>${t("page.sign_in")}</button>
  </form>`;
}
