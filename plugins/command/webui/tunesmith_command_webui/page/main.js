// The shell: navigation, signing in, settings; every view is loaded when it is first opened.
import { html, render, useEffect, useRef, useState } from "./lib/html.js";
import { get } from "./lib/api.js";
import { useConnected } from "./lib/events.js";
import { begin, t, useLanguage } from "./lib/i18n.js";
import { JobsBadge } from "./components/jobs_badge.js";
import { Login } from "./components/login.js";
import { Settings } from "./components/settings.js";
import { Shortcuts } from "./components/shortcuts.js";
import { Toasts } from "./components/toast.js";

const VIEWS = ["train", "watch", "jobs", "runs", "chat", "evaluate", "export", "data", "plugins"];

/** The view and what follows it in the address: #watch/NAME → ["watch", "NAME"] */
function place() {
  const [view, ...rest] = location.hash.slice(1).split("/");
  return [VIEWS.includes(view) ? view : "train", decoded(rest.join("/"))];
}

function decoded(text) {
  try {
    return decodeURIComponent(text);
  } catch {
    return text; // an address that somebody wrote by hand
  }
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
  const [loaded, set] = useState({}); // with its name, so that no view is drawn with what another one is asked for
  const [error, setError] = useState(null);
  useEffect(() => {
    let gone = false;
    setError(null);
    const come = (module) => gone || set({ name, component: module.default });
    import(`./views/${name}.js`).then(come, (failure) => gone || setError(failure));
    return () => (gone = true);
  }, [name]);
  if (error) return html`<p role="alert">${t("page.failed")}: ${error.message}</p>`;
  if (loaded.name !== name) return html`<p aria-busy="true">${t("page.loading")}</p>`;
  return html`<${loaded.component} detail=${detail} />`;
}

/** The session, which ends when the server does; null until it is known. */
function useSession(first) {
  const [session, set] = useState(first);
  useEffect(() => {
    const left = () => set((now) => ({ ...now, signed_in: false }));
    addEventListener("signed-out", left);
    return () => removeEventListener("signed-out", left);
  }, []);
  return [session, set];
}

/** What there is to say of the server: it is gone, or another version came back. */
function Server({ version }) {
  const connected = useConnected();
  const [now, set] = useState(version);
  useEffect(() => {
    if (connected) get("session").then((session) => session.version && set(session.version), () => {});
  }, [connected]);
  if (!connected) return html`<p class="notice" role="alert">${t("page.unreachable")}</p>`;
  if (now === version) return null;
  return html`<p class="notice" role="alert">
    ${t("page.updated", { version: now })}
    <button type="button" onClick=${() => location.reload()}>${t("page.reload")}</button>
  </p>`;
}

function Navigation({ view }) {
  const current = useRef();
  useEffect(() => current.current?.scrollIntoView({ block: "nearest", inline: "center" }), [view]);
  const link = (name) => {
    const here = name === view;
    return html`<a href=${`#${name}`} ref=${here ? current : null} aria-current=${here ? "page" : null}>
      ${t(`views.${name}`)}</a>`;
  };
  return html`<nav aria-label=${t("page.views")}>${VIEWS.map(link)}</nav>`;
}

function Page({ first }) {
  const language = useLanguage();
  const [session, setSession] = useSession(first);
  const [view, detail] = usePlace();
  const content = useRef();
  const isFirst = useRef(true);
  const isIn = session.signed_in;
  useEffect(() => {
    document.title = `${t(isIn ? `views.${view}` : "page.sign_in")} · Tunesmith`;
    if (!isFirst.current) content.current.focus();
    isFirst.current = false;
  }, [view, language, isIn]);
  return html`
    <a class="skip" href="#content" onClick=${(event) => (event.preventDefault(), content.current.focus())}>
      ${t("page.skip")}
    </a>
    <header class="top">
      <strong class="name">Tunesmith</strong>
      ${isIn && html`<${Navigation} view=${view} /><${JobsBadge} />`}
      <div class="settings"><${Settings} canLeave=${isIn && session.needed} /></div>
    </header>
    ${isIn && html`<${Server} version=${session.version} /><${Shortcuts} views=${VIEWS} />`}
    <main id="content" tabindex="-1" ref=${content} key=${language}>
      <h1 class="unseen">${t(isIn ? `views.${view}` : "page.sign_in")}</h1>
      ${isIn ? html`<${View} name=${view} detail=${detail} />` : html`<${Login} onIn=${setSession} />`}
    </main>
    <${Toasts} />
  `;
}

/** What is ready ahead: the view of this address comes beside the session, and a long run is read by the server. */
function ahead() {
  const [view, detail] = place();
  import(`./views/${view}.js`).catch(() => {}); // who draws it tells what is wrong
  if (view === "watch" && detail) get(`watch/state?run=${encodeURIComponent(detail)}`).catch(() => {});
  const quiet = window.requestIdleCallback ?? setTimeout;
  addEventListener("load", () => quiet(() => import("./views/watch.js").catch(() => {})));
}

ahead();
const [session] = await Promise.all([get("session"), begin()]);
render(html`<${Page} first=${session} />`, document.getElementById("page"));
