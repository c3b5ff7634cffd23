// The one state of the view: values as a configuration has them. Text, command line and plan follow from them.
import { useCallback, useEffect, useLayoutEffect, useRef, useState } from "../../lib/html.js";
import { newest, post } from "../../lib/api.js";

const KEPT = "train.draft";
const PAUSE = 300; // ms without a change after which a draft is examined
const STEPS = 50; // that can be undone

const client = Math.random().toString(36).slice(2);

let unread = {}; // texts of the draft, by field, that were edited and not read back

/** The draft of this window; a new one begins with that of the window that was written in last. */
function kept() {
  try {
    return JSON.parse(sessionStorage.getItem(KEPT) ?? localStorage.getItem(KEPT)) ?? {};
  } catch {
    return {};
  }
}

/**
 * A draft, which survives a reload.
 * @returns `values`; `answer` of POST /api/compose, older while `busy` and where there was an `error`, after which one
 *   may `retry()`; `set(kind, value)`; `take(given)`, which reads
 *   a text, a command line, a file, or the values with overrides, and tells whether it could; `lost`, what was found
 *   then that the values do not have any more, and `forget()`; `confirm(item, many)` takes over a file that only a
 *   run's record names; `undo()`, null where there is nothing;
 *   `typed`, texts that were edited and not read back, by field, and `type(field, text)`, null for none
 */
export function useDraft() {
  const [values, setValues] = useState(kept);
  const [answer, setAnswer] = useState(null);
  const [busy, setBusy] = useState(true);
  const [error, setError] = useState(null);
  const [lost, setLost] = useState(null);
  const [again, setAgain] = useState(0);
  const past = useRef([]);
  const now = useRef(values);

  const change = useCallback((next) => {
    past.current = [...past.current.slice(1 - STEPS), now.current];
    now.current = next;
    setValues(next);
  }, []);
  useLayoutEffect(() => {
    // at once: an effect comes after a frame, and a reload may be before that
    for (const storage of [sessionStorage, localStorage]) storage.setItem(KEPT, JSON.stringify(values));
  }, [values]);
  useEffect(() => {
    const controller = new AbortController();
    const ask = async () => {
      try {
        setAnswer(await newest("compose", { values, client }, controller.signal));
        setError(null);
        setBusy(false);
      } catch (failure) {
        if (controller.signal.aborted) return;
        setError(failure);
        setBusy(false);
      }
    };
    setBusy(true);
    const timer = setTimeout(ask, answer ? PAUSE : 0);
    return () => (clearTimeout(timer), controller.abort());
  }, [values, again]);

  const set = useCallback((name, value) => {
    const { [name]: _, ...rest } = now.current;
    change(value === undefined ? rest : { ...rest, [name]: value });
  }, []);
  const take = useCallback(async (given) => {
    const found = await post("compose", given);
    if (found.values === null) return found;
    change(found.values);
    const { problems, notices, unconfirmed } = found;
    setLost(given.values ? null : { problems, notices, unconfirmed });
    return found;
  }, []);
  const confirm = useCallback(({ kind, name, value }, many) => {
    set(kind, many ? { ...now.current[kind], [name]: value } : value);
    setLost((before) => before && confirmed(before, kind, name));
  }, []);
  const apply = useCallback((overrides) => take({ values: now.current, overrides }), []);
  const forget = useCallback(() => setLost(null), []);
  const undo = past.current.length
    ? () => {
        now.current = past.current.pop();
        setValues(now.current);
      }
    : null;
  const [typed, setTyped] = useState(unread);
  const type = (field, text) => {
    unread = { ...unread, [field]: text };
    setTyped(unread);
  };
  const retry = () => setAgain((times) => times + 1);
  const clear = () => (setLost(null), change({}));
  const told = lost && beside(lost, answer, busy);
  const acts = { retry, set, take, apply, confirm, undo, clear, forget, type };
  return { values, answer, busy, error, lost: told, typed, ...acts };
}

/** What reading said, without what the user has confirmed since. */
function confirmed({ problems, notices, unconfirmed }, kind, name) {
  return {
    notices,
    problems: problems.filter(({ key }) => key !== `${kind}.name` && !key.startsWith(`${kind}.${name}`)),
    unconfirmed: unconfirmed.filter((item) => item.kind !== kind || item.name !== name),
  };
}

/** What reading said and the answer for the values does not say; null while that is not known, or is nothing. */
function beside(lost, answer, busy) {
  if (busy || !answer) return null;
  const known = new Set(answer.problems.map(({ key, message }) => `${key} ${message}`));
  const problems = lost.problems.filter(({ key, message }) => !known.has(`${key} ${message}`));
  const notices = lost.notices.filter((notice) => !answer.notices.includes(notice));
  const { unconfirmed } = lost;
  return problems.length + notices.length + unconfirmed.length ? { problems, notices, unconfirmed } : null;
}

/** What every run needs, and the draft does not name yet: `model`, `data`. Nobody has done anything wrong by then. */
export function missing({ values }) {
  const needs = { model: values.model?.path, data: values.data?.train?.length };
  return Object.keys(needs).filter((name) => !needs[name]);
}

/** Whether a problem says no more than that something is missing. */
export const isMissing = (draft, { key }) =>
  missing(draft).some((name) => key === (name === "model" ? "model.path" : "data.train"));

/**
 * What the plan of a draft that is right says; null while nothing is known.
 * @returns {{figures: object | null, busy: boolean, looking: boolean}} `looking` while changes that fit are looked for
 */
export function usePlan(draft, machine) {
  const [state, set] = useState({ figures: null, busy: false, looking: false, error: null });
  const { answer, busy } = draft;
  const wrong = !answer || draft.error || answer.problems.some((problem) => problem.severity === "error");
  useEffect(() => {
    if (busy || wrong) return undefined;
    const controller = new AbortController();
    const ask = (advice) =>
      newest("plan", { values: draft.values, machine, advice, client: `plan-${client}` }, controller.signal);
    const look = async () => {
      set((before) => ({ ...before, busy: true, error: null }));
      try {
        const figures = await ask(false);
        set({ figures, busy: false, looking: figures.fits === false, error: null });
        if (figures.fits === false) set({ figures: await ask(true), busy: false, looking: false, error: null });
      } catch (error) {
        if (controller.signal.aborted) return;
        set({ figures: null, busy: false, looking: false, error });
      }
    };
    look();
    return () => controller.abort();
  }, [answer, busy, wrong, machine]);
  const nothing = !wrong && state.figures?.trained === 0 && state.figures.parameters > 0;
  return { ...state, figures: wrong ? null : state.figures, wrong: wrong || nothing };
}
