// What is kept between visits: the conversation on the server, the settings in this browser.
import { useEffect, useRef, useState } from "../../lib/html.js";
import { post } from "../../lib/api.js";
import { t } from "../../lib/i18n.js";
import { complain, tell } from "../../components/toast.js";

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

/**
 * A conversation that is kept on the server a moment after it changed.
 * @returns {{conversation: object, current: {current: object}, change: (how: (now: object) => object) => void,
 *            open: (conversation: object) => void}} `current` holds it between two drawings, too
 */
export function useConversation() {
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
        if (open.opened === opened) put({ ...open, id, revision, title: open.title || title });
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
    put({ ...EMPTY, ...next, opened: performance.now() });
  };
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
