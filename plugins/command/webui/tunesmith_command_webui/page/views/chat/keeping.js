// What is kept between visits: the conversation on the server, the settings in this browser.
import { useEffect, useRef, useState } from "../../lib/html.js";
import { get, post } from "../../lib/api.js";
import { t } from "../../lib/i18n.js";
import { attempt, complain, tell } from "../../components/toast.js";

const OPEN = "chat-open"; // of this window: the conversation that a reload, or coming back, shows again
const SHOWN = "conversation:"; // in the address

export const EMPTY = { id: null, revision: null, title: "", nodes: [], leaves: [null, null] };

/** A state that this browser remembers under a name. */
export function useRemembered(name, initial) {
  const [value, set] = useState(() => ({ ...initial, ...JSON.parse(localStorage.getItem(name) ?? "{}") }));
  const change = (part) => {
    set((now) => {
      const next = { ...now, ...part };
      localStorage.setItem(name, JSON.stringify(next));
      return next;
    });
  };
  return [value, change];
}

/** The conversation that an address names; null for none. */
export const namedBy = (detail) => (detail.startsWith(SHOWN) ? detail.slice(SHOWN.length) : null);

/** Have this window, and its address, remember which conversation is open. */
function point(id) {
  if (id) sessionStorage.setItem(OPEN, id);
  else sessionStorage.removeItem(OPEN);
  if (!location.hash.startsWith("#chat")) return; // another view has come meanwhile
  history.replaceState(null, "", id ? `#chat/${encodeURIComponent(SHOWN + id)}` : "#chat");
}

/**
 * A conversation that is kept on the server a moment after it changed.
 * @param {string} detail of the address, which may name one; else the one that this window had open comes back
 * @returns {{conversation: object, current: {current: object}, change: (how: (now: object) => object) => void,
 *            open: (conversation: object) => void}} `current` holds it between two drawings, too
 */
export function useConversation(detail) {
  const [conversation, set] = useState({ ...EMPTY, opened: 0 });
  const current = useRef(conversation);
  const waiting = useRef(null);
  const saving = useRef(Promise.resolve());
  const known = useRef(new Map()); // id and revision of each conversation that was opened here, as the server has it
  const put = (next) => set((current.current = next));

  const save = () => {
    waiting.current = null;
    const { opened, ...now } = current.current; // what is there when its turn comes may be another conversation
    if (!now.nodes.length && !now.id) return;
    saving.current = saving.current.then(async () => {
      try {
        const { id, revision, title } = await kept({ ...now, ...known.current.get(opened) });
        known.current.set(opened, { id, revision });
        const open = current.current;
        if (open.opened !== opened) return;
        put({ ...open, id, revision, title: open.title || title });
        point(id);
      } catch (error) {
        complain(error);
      }
    });
  };
  const later = () => {
    clearTimeout(waiting.current);
    waiting.current = setTimeout(save, 800);
  };
  useEffect(() => () => waiting.current && (clearTimeout(waiting.current), save()), []);
  const change = (how) => {
    put(how(current.current));
    later();
  };
  const open = (next) => {
    if (waiting.current) (clearTimeout(waiting.current), save());
    put({ ...EMPTY, ...next, leaves: next.leaves ?? [next.leaf, null], opened: performance.now() });
    point(next.id);
  };
  useEffect(() => {
    const id = namedBy(detail) ?? sessionStorage.getItem(OPEN);
    if (!id || id === current.current.id) return;
    sessionStorage.removeItem(OPEN); // one that is gone is not asked for again
    attempt(async () => {
      const found = await get(`chats/conversations/${id}`);
      if (!current.current.nodes.length) open(found);
    });
  }, [detail]);
  return { conversation, current, change, open };
}

/** Keep it; where another window changed it meanwhile, as a copy. */
async function kept(conversation) {
  const whole = { ...conversation, leaf: conversation.leaves[0] };
  try {
    return await post("chats/conversations", whole);
  } catch (error) {
    if (error.status !== 409) throw error;
    tell(t("chat.copied"));
    return post("chats/conversations", { ...whole, id: null, revision: null });
  }
}
