// The shell: navigation, language, theme; every view is loaded when it is first opened.
import { html, render, useEffect, useRef, useState } from "./lib/html.js";
import { useConnected, useTopic } from "./lib/events.js";
import { LANGUAGES, preferred, speak, t, useLanguage } from "./lib/i18n.js";
import { Toasts } from "./components/toast.js";

const VIEWS = ["train", "watch", "runs", "chat", "evaluate", "export", "data", "plugins"];

/** The view and what follows it in the address: #watch/NAME → ["watch", "NAME"] */
function place() {
  const [view, ...rest] = location.hash.slice(1).split("/");
  return [VIEWS.includes(view) ? view : "train", decodeURIComponent(rest.join("/"))];
}

function usePlace() {
  const [now, set] = useState(place);
  useEffect(() => {
    const changed = () => set(place());
    addEventListener("hashchange", changed);
    return () => removeEventListener("hashchange", changed);
  }, []);
  return now;
}

function View({ name, detail }) {
  const [component, set] = useState(null);
  const [error, setError] = useState(null);
  useEffect(() => {
    set(null);
    setError(null);
    import(`./views/${name}.js`).then((module) => set(() => module.default), setError);
  }, [name]);
  if (error) return html`<p role="alert">${t("page.failed")}: ${error.message}</p>`;
  if (!component) return html`<p aria-busy="true">${t("page.loading")}</p>`;
  return html`<${component} detail=${detail} />`;
}

function Theme() {
  const [theme, set] = useState(localStorage.getItem("theme") ?? "system");
  useEffect(() => {
    localStorage.setItem("theme", theme);
    document.documentElement.dataset.theme = theme;
  }, [theme]);
  const options = ["system", "light", "dark"].map((name) => html`<option value=${name}>${t(`page.${name}`)}</option>`);
  return html`<select aria-label=${t("page.theme")} value=${theme} onChange=${(event) => set(event.target.value)}>
    ${options}
  </select>`;
}

function Language() {
  const options = Object.entries(LANGUAGES).map(([name, own]) => html`<option value=${name}>${own}</option>`);
  const now = document.documentElement.lang.slice(0, 2);
  return html`<select aria-label=${t("page.language")} value=${now} onChange=${(event) => speak(event.target.value)}>
    ${options}
  </select>`;
}

function Page() {
  const language = useLanguage();
  const connected = useConnected();
  const [view, detail] = usePlace();
  const content = useRef();
  const first = useRef(true);
  useTopic("jobs", () => {}); // one connection from the start, so that a lost server is noticed
  useEffect(() => {
    document.title = `${t(`views.${view}`)} · Tunesmith`;
    if (!first.current) content.current.focus();
    first.current = false;
  }, [view, language]);
  const link = (name) =>
    html`<a href=${`#${name}`} aria-current=${name === view ? "page" : null}>${t(`views.${name}`)}</a>`;
  return html`
    <a class="skip" href="#content" onClick=${(event) => (event.preventDefault(), content.current.focus())}>
      ${t("page.skip")}
    </a>
    <header class="top">
      <strong class="name">Tunesmith</strong>
      <nav aria-label=${t("page.views")}>${VIEWS.map(link)}</nav>
      <div class="settings"><${Language} /><${Theme} /></div>
    </header>
    ${connected ? null : html`<p class="lost" role="alert">${t("page.unreachable")}</p>`}
    <main id="content" tabindex="-1" ref=${content} key=${language}>
      <h1 class="unseen">${t(`views.${view}`)}</h1>
      <${View} name=${view} detail=${detail} />
    </main>
    <${Toasts} />
  `;
}

await speak(preferred());
render(html`<${Page} />`, document.getElementById("page"));
