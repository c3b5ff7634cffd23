// Chat: one model or two side by side, with everything said kept on the server.
import { html, useEffect, useState } from "../lib/html.js";
import { get, post } from "../lib/api.js";
import { useTopic } from "../lib/events.js";
import { t } from "../lib/i18n.js";
import { attempt, tell } from "../components/toast.js";
import { useActs } from "./chat/acting.js";
import { toolsOf, useAnswers } from "./chat/answering.js";
import { Column } from "./chat/column.js";
import { Composer } from "./chat/composer.js";
import { EMPTY, namedBy, useConversation, useRemembered } from "./chat/keeping.js";
import { loadedOf, ModelSlot } from "./chat/models.js";
import { SaveRow } from "./chat/row.js";
import { Saved } from "./chat/saved.js";
import { DEFAULTS, Settings } from "./chat/settings.js";
import { find, path, sent, textOf } from "./chat/tree.js";
import { Ballot, Standings } from "./chat/voting.js";

const SLOTS = { slots: [{ source: "" }, { source: "" }], two: false, blind: false };
const coin = () => Math.random() < 0.5;

/** The models that are loaded, as the server tells; the first slot is of `wanted`, else of one that is there. */
function useModels(wanted) {
  const [models, setModels] = useState([]);
  const [chosen, choose] = useRemembered("chat-models", SLOTS);
  useTopic("chats", (type, data) => type === "models" && setModels(data));
  const setSlot = (index) => (part) =>
    choose({ slots: chosen.slots.map((slot, at) => (at === index ? { ...slot, ...part } : slot)) });
  useEffect(() => {
    if (wanted && !namedBy(wanted)) addressOf(wanted).then((source) => setSlot(0)({ source, id: null }));
  }, [wanted]);
  useEffect(() => {
    const there = models.find(({ state }) => state === "ready");
    if (there && !chosen.slots[0].source) setSlot(0)({ source: there.source, id: there.id });
  }, [models]);
  return { models, chosen, choose, setSlot };
}

/** What a run or checkpoint of this name is called by commands; anything else as it is. */
async function addressOf(name) {
  const query = new URLSearchParams([["search", name], ["kind", "run"], ["kind", "checkpoint"], ["kind", "export"]]);
  const found = await attempt(() => get(`models?${query}`));
  return found?.items.find((item) => item.name === name)?.address ?? name;
}

export default function Chat({ detail }) {
  const { models, chosen, choose, setSlot } = useModels(detail);
  const [settings, set] = useRemembered("chat-settings", DEFAULTS);
  const keeping = useConversation(detail);
  const { conversation, change, open } = keeping;
  const [swapped, swap] = useState(coin);
  const [editing, edit] = useState(null);
  const [shown, show] = useState(null); // a dialog: saved, standings, or a row to be kept
  const [finished, finish] = useState("");
  const sides = chosen.two ? [0, 1] : [0];
  const slotOf = (side) => chosen.slots[chosen.two && chosen.blind && swapped ? 1 - side : side];
  const modelOf = (side) => {
    const loaded = loadedOf(models, slotOf(side));
    return loaded?.state === "ready" ? loaded : null;
  };
  const { growing, ask, stop, busy } = useAnswers(keeping, modelOf, settings, finish);
  const acts = useActs(keeping, ask, (node) => show({ row: rowOf(conversation, node, settings) }));

  const ends = sides.map((side) => find(conversation.nodes, conversation.leaves[side]));
  const comparable = chosen.two && ends[0] !== ends[1] && ends.every((node) => node?.role === "assistant");
  const voted = ends[0]?.vote ?? null;
  const secret = chosen.two && chosen.blind && !voted;
  const nameOf = (side) => (secret ? t(`chat.votes.model_${side}`) : slotOf(side).source || t("chat.model"));
  const ready = sides.every((side) => modelOf(side));
  const scores = sides.some((side) => modelOf(side)?.can.answers === false);
  const taken = sides.map((side) => modelOf(side)?.can.media ?? []);
  const kinds = taken.reduce((all, each) => all.filter((kind) => each.includes(kind)));
  const why = scores ? t("chat.scores") : ready ? "" : t("chat.load_first");

  const send = (content) => sides.forEach((side) => acts(side).say(content, conversation.leaves[side]));
  const renew = () => (stop(), edit(null), swap(coin()), open(EMPTY));
  const compare = (two) => {
    choose({ two });
    if (two) change((now) => ({ ...now, leaves: [now.leaves[0], now.leaves[0]] }));
  };
  const vote = (winner) => attempt(async () => {
    const [left, right] = ends.map(({ model }) => model);
    const messages = sent(path(conversation.nodes, ends[0].parent), settings.system);
    const answers = ends.map((node) => textOf(node.content));
    await post("chats/votes", { left, right, winner, blind: chosen.blind, messages, answers });
    const ids = ends.map(({ id }) => id);
    const marked = (node) => (ids.includes(node.id) ? { ...node, vote: winner } : node);
    change((now) => ({ ...now, nodes: now.nodes.map(marked) }));
    tell(t("chat.votes.thanks"));
  });
  const preferred = () => {
    const [better, worse] = voted === "left" ? ends : [ends[1], ends[0]];
    show({ row: { ...rowOf(conversation, better, settings), rejected: sent([worse])[0] } });
  };
  const editLast = () => {
    const asked = path(conversation.nodes, conversation.leaves[0]).findLast(({ role }) => role === "user");
    edit(asked?.id ?? null);
  };
  const keys = (event) => event.key === "Escape" && busy && stop();
  const opened = (kept) => {
    stop();
    show(null);
    open(kept);
  };

  return html`<div class="chat" onKeyDown=${keys}>
    <div class="chat-side">
      ${sides.map((side) => html`<${ModelSlot} key=${side} slot=${chosen.slots[side]} onSlot=${setSlot(side)}
        models=${models} label=${sides.length > 1 ? t(`chat.model_${side}`) : t("chat.model")} />`)}
      <label class="check"><input type="checkbox" checked=${chosen.two} disabled=${busy}
        onChange=${(event) => compare(event.target.checked)} /> ${t("chat.two")}</label>
      ${chosen.two
        ? html`<label class="check"><input type="checkbox" checked=${chosen.blind} disabled=${busy}
            onChange=${(event) => (choose({ blind: event.target.checked }), renew())} /> ${t("chat.blind")}</label>`
        : null}
      <${Settings} settings=${settings} set=${set} can=${modelOf(0)?.can ?? {}} />
    </div>
    <div class="chat-main">
      <div class="row">
        <input class="grow" aria-label=${t("chat.title")} placeholder=${t("chat.title")} value=${conversation.title}
          onInput=${(event) => change((now) => ({ ...now, title: event.target.value }))} />
        <button type="button" onClick=${renew}>${t("chat.new")}</button>
        <button type="button" onClick=${() => show("saved")}>${t("chat.conversations")}</button>
        <button type="button" onClick=${() => show("standings")}>${t("chat.votes.table")}</button>
      </div>
      <div class=${`sides sides-${sides.length}`}>
        ${sides.map((side) => html`<${Column} key=${side} nodes=${conversation.nodes} growing=${growing[side]}
          messages=${path(conversation.nodes, conversation.leaves[side])} actions=${acts(side)} name=${nameOf(side)}
          secret=${secret} busy=${busy} editing=${editing} onEdit=${edit} />`)}
      </div>
      ${comparable && !busy
        ? html`<${Ballot} voted=${voted} blind=${chosen.blind} onVote=${vote} onRow=${preferred} onNext=${renew} />`
        : null}
      <${Composer} kinds=${kinds} ready=${ready && !scores} busy=${busy} why=${why} send=${send} stop=${stop}
        editLast=${editLast} onSystem=${(system) => set({ system })} />
      <p class="unseen" aria-live="polite">${finished}</p>
    </div>
    ${shown === "saved"
      ? html`<${Saved} now=${conversation.id} onOpen=${opened} onClose=${() => show(null)}
          onDeleted=${(id) => id === conversation.id && open(EMPTY)} />`
      : null}
    ${shown === "standings" ? html`<${Standings} onClose=${() => show(null)} />` : null}
    ${shown?.row ? html`<${SaveRow} ...${shown.row} onClose=${() => show(null)} />` : null}
  </div>`;
}

/** What a message and all before it are as a row; another answer in its place that was rated bad is the worse one. */
function rowOf({ nodes }, node, settings) {
  const others = nodes.filter((other) => other.parent === node.parent && other.role === "assistant" && other !== node);
  const bad = others.find(({ rating }) => rating === "bad") ?? (node.edited ? others.at(-1) : null);
  const worse = node.rating === "bad" ? null : bad;
  return {
    messages: sent(path(nodes, node.id), settings.system),
    tools: toolsOf(settings),
    rating: node.rating,
    rejected: worse ? sent([worse])[0] : null,
  };
}
