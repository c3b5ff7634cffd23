// Rows are judged one after the other, by keys: rated, labelled, the better answer chosen, an answer corrected.
import { html, useEffect, useRef, useState } from "../../lib/html.js";
import { get, post } from "../../lib/api.js";
import { integer, number, percent } from "../../lib/format.js";
import { t } from "../../lib/i18n.js";
import { attempt, tell } from "../../components/toast.js";
import { Conversation, Said, messagesOf } from "./conversation.js";
import { query, useAnswer } from "./words.js";

export function Annotate({ data, author, onChanged }) {
  const [{ row, offset }, setPlace] = useState({ row: null, offset: 0 });
  const here = useRef({ row, offset }); // what an act is about that comes before the page is drawn anew
  const [skipsJudged, setSkipsJudged] = useState(true);
  const [correcting, setCorrecting] = useState(false);
  const { answer: progress, again } = useAnswer(`data/notes?${query({ data })}`);
  const inTurn = useTurns();
  const show = (found, from) => {
    here.current = { row: found ?? null, offset: found ? found.row - 1 : from };
    setPlace(here.current);
    setCorrecting(false);
  };
  const rowsOf = async (asked) => get(`data/rows?${query({ data, limit: 1, ...asked })}`);
  const find = async (from) => {
    const marked = skipsJudged ? { marked: "unjudged", author } : {};
    let [at, found] = [from, null];
    while (at !== null && !found?.content) {
      const { items, next } = await rowsOf({ offset: at, ...marked });
      [at, found] = [next, items[0]];
    }
    show(found?.content ? found : null, from);
  };
  useEffect(() => {
    if (author) inTurn(() => find(0));
  }, [author, skipsJudged]);
  const say = (action, value, stays = false) =>
    inTurn(async () => {
      const now = here.current;
      if (!now.row) return;
      const said = typeof value === "function" ? value(now) : value;
      await post("data/notes", { data, row: now.row.row, author, action, value: said });
      again();
      if (stays) show((await rowsOf({ only: now.row.row })).items[0], now.offset);
      else await find(now.offset + 1);
    });
  const undo = () =>
    inTurn(async () => {
      const { undone } = await post("data/notes/undo", { data, author });
      tell(undone ? t("data.annotate.undone", undone) : t("data.annotate.nothing"));
      again();
      onChanged();
      if (undone) show((await rowsOf({ only: undone.row })).items[0], undone.row - 1);
    });
  const back = () =>
    inTurn(async () => {
      const { items } = await rowsOf({ offset: Math.max(0, here.current.offset - 1) });
      if (items[0]) show(items[0]);
    });
  const correct = () => inTurn(async () => setCorrecting(true));
  const acts = { say, undo, back, correct, next: () => inTurn(() => find(here.current.offset + 1)) };
  useKeys(row && !correcting, here, acts, author);
  if (!author) return html`<p>${t("data.who")}</p>`;
  return html`
    <${Progress} progress=${progress} />
    <label><input type="checkbox" checked=${skipsJudged} onChange=${() => setSkipsJudged(!skipsJudged)} />
      ${" "}${t("data.annotate.skips")}</label>
    ${row
      ? html`<${Judged} key=${row.row} ...${{ row, data, author, acts, correcting }}
          onKeep=${() => setCorrecting(false)} />`
      : html`<p class="good" role="status">✓ ${t("data.annotate.end")}
          <button type="button" onClick=${() => setSkipsJudged(false)}>${t("data.annotate.again")}</button></p>`}
    <p class="help">${t("data.annotate.keys")}</p>
  `;
}

/** Which answer stands on the left: by row and person, so that it stays, and nobody can tell. */
function sidesOf(row, author) {
  let sum = row * 2654435761;
  for (const letter of author) sum = (sum * 31 + letter.codePointAt(0)) % 4294967291;
  return Math.floor(sum / 7) % 2 === 1 ? ["rejected", "chosen"] : ["chosen", "rejected"];
}

/** Has acts done one after the other: each is about the row that the one before has brought. */
function useTurns() {
  const last = useRef(Promise.resolve());
  return (act) => (last.current = last.current.then(() => attempt(act)));
}

function useKeys(open, here, acts, author) {
  const now = useRef();
  const waits = useRef(false); // a correction is about to open: what is typed is for it
  now.current = { open, acts, author };
  if (!open) waits.current = false;
  useEffect(() => {
    const pressed = (event) => {
      const { open, acts, author } = now.current;
      const typing = event.target.closest("input:not([type=checkbox]), textarea, select, dialog");
      if (!open || typing || event.ctrlKey || event.metaKey || event.altKey) return;
      const act = actOf(event.key, here, acts, author);
      if (!act) return;
      event.preventDefault();
      if (waits.current) return;
      waits.current = event.key === "e";
      act();
    };
    addEventListener("keydown", pressed);
    return () => removeEventListener("keydown", pressed);
  }, []);
}

/** What a key does; of two answers, the one on its side of the row whose turn it is then. */
function actOf(key, here, acts, author) {
  const { row } = here.current;
  const side = (index) => () => acts.say("choose", ({ row }) => sidesOf(row.row, author)[index]);
  const pair = row?.content.chosen
    ? { a: side(0), b: side(1), t: () => acts.say("choose", "tie") }
    : { y: () => acts.say("label", true), n: () => acts.say("label", false) };
  const keys = { ...pair, s: () => acts.say("skip", true), e: acts.correct, u: acts.undo, j: acts.next, k: acts.back };
  return /^[1-5]$/.test(key) ? () => acts.say("rate", Number(key)) : keys[key];
}

function Judged({ row, data, author, acts, correcting, onKeep }) {
  const { content } = row;
  const own = row.marks.opinions[author] ?? {};
  return html`<article class="card" aria-label=${t("data.browse.number", row)}>
    <h3>${t("data.browse.number", { row: integer(row.row) })}</h3>
    <${Conversation} content=${content} data=${data} sides=${false} />
    ${content.chosen ? html`<${Sides} row=${row} author=${author} acts=${acts} />` : null}
    ${correcting
      ? html`<${Correct} content=${content} given=${own.correct} onSave=${(text) => acts.say("correct", text)}
          onClose=${onKeep} />`
      : null}
    <div class="row judge" hidden=${correcting}>
      ${content.chosen || !answerOf(content) ? null : html`<${Labels} now=${own.label} acts=${acts} />`}
      <${Stars} now=${own.rate} acts=${acts} />
      <button type="button" onClick=${acts.correct}>${t("data.annotate.correct")} <kbd>E</kbd></button>
      <button type="button" onClick=${() => acts.say("skip", true)}>${t("data.annotate.skip")} <kbd>S</kbd></button>
      <button type="button" onClick=${acts.undo}>${t("data.annotate.undo")} <kbd>U</kbd></button>
      <button type="button" onClick=${acts.back}>← <kbd>K</kbd></button>
      <button type="button" onClick=${acts.next}>→ <kbd>J</kbd></button>
    </div>
    <${Tags} tags=${own.tags ?? []} onChange=${(tags) => acts.say("tags", tags, true)} />
  </article>`;
}

function Labels({ now, acts }) {
  const button = (label, word, key) => html`<button type="button" key=${key} aria-pressed=${now === label}
    onClick=${() => acts.say("label", label)}>${word} <kbd>${key}</kbd></button>`;
  return [button(true, `✓ ${t("data.good")}`, "Y"), button(false, `✗ ${t("data.bad")}`, "N")];
}

function Stars({ now, acts }) {
  return html`<span role="group" aria-label=${t("data.annotate.rate")}>${[1, 2, 3, 4, 5].map(
    (stars) => html`<button type="button" key=${stars} aria-pressed=${now === stars}
      aria-label=${t("data.annotate.stars", { count: stars })}
      onClick=${() => acts.say("rate", stars)}>${stars}★</button>`,
  )}</span>`;
}

function Sides({ row, author, acts }) {
  const names = sidesOf(row.row, author);
  return html`<div class="sides">${names.map((name, index) => html`<section key=${name}>
      <h4>${t("data.annotate.answer", { name: "AB"[index] })}</h4>
      <button type="button" onClick=${() => acts.say("choose", name)}>
        ${t("data.annotate.better")} <kbd>${"AB"[index]}</kbd></button>
      <${Said} messages=${row.content[name]} />
    </section>`)}</div>
    <button type="button" onClick=${() => acts.say("choose", "tie")}>${t("data.better.tie")} <kbd>T</kbd></button>`;
}

function answerOf(content) {
  const last = (content.chosen ?? content.completion ?? messagesOf(content)).at(-1);
  return last?.role === "assistant" && typeof last.content === "string" ? last.content : null;
}

function Correct({ content, given, onSave, onClose }) {
  const [text, setText] = useState(given ?? answerOf(content) ?? "");
  const area = useRef();
  useEffect(() => area.current.focus(), []);
  const pressed = (event) => {
    if (event.key === "Escape") onClose();
    if (event.key === "Enter" && (event.ctrlKey || event.metaKey)) onSave(text);
  };
  return html`<label>${t("data.annotate.corrected")}
      <textarea class="wide" rows="8" ref=${area} value=${text} onKeyDown=${pressed}
        onInput=${(event) => setText(event.target.value)}></textarea></label>
    <div class="row"><button type="button" onClick=${onClose}>${t("page.cancel")}</button>
      <button type="button" class="main" onClick=${() => onSave(text)}>
        ${t("data.annotate.keep")} <kbd>Ctrl ↵</kbd></button></div>`;
}

function Tags({ tags, onChange }) {
  const [text, setText] = useState(tags.join(", "));
  const list = () => [...new Set(text.split(",").map((tag) => tag.trim()).filter(Boolean))];
  return html`<label>${t("data.annotate.tags")} <input value=${text} onInput=${(event) => setText(event.target.value)}
    onChange=${() => onChange(list())} /></label>`;
}

function Progress({ progress }) {
  if (!progress) return null;
  const { rows, judged, by_author: people, agreement } = progress;
  return html`<div class="row">
      <progress max=${rows} value=${judged} aria-label=${t("data.annotate.progress")}></progress>
      <span aria-live="polite">${t("data.annotate.judged", { judged: integer(judged), rows: integer(rows) })}</span>
      ${Object.entries(people).map(
        ([name, count]) => html`<span class="badge" key=${name}>${name}: ${integer(count)}</span>`,
      )}
    </div>
    ${Object.entries(agreement).map(([kind, one]) => html`<p class="help" key=${kind}>
      ${t(`data.annotate.kinds.${kind}`)}: ${t("data.annotate.agreement", inNumbers(one))}</p>`)}`;
}

const inNumbers = ({ rows, share, alpha }) => ({
  rows: integer(rows),
  share: percent(share),
  alpha: alpha === null ? "–" : number(alpha, 2),
});
