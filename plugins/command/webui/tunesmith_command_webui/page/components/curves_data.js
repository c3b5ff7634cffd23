// The curves of runs: asked for once, then kept up to date by what the topic of each run tells.
import { useEffect, useRef, useState } from "../lib/html.js";
import { get } from "../lib/api.js";
import { listen } from "../lib/events.js";

const AT_ONCE = 4; // requests
const TOO_MANY = 2; // times the points that were asked for: then they are thinned again

/**
 * What some runs logged.
 * @param {string[]} runs
 * @param {{smoothing: number, axis: string, range: [number, number] | null, more: string[], points: number}} view
 * @returns {[Map<string, any>, Map<string, string>]} by run what GET /api/watch/curves gives, and why there is none
 */
export function useCurves(runs, view) {
  const [found, set] = useState({ data: new Map(), errors: new Map() });
  const now = useRef(found);
  const key = JSON.stringify([runs, view]);
  useEffect(() => {
    const stop = new AbortController();
    const tell = (next) => stop.signal.aborted || set((now.current = next));
    const put = (run, data, error) => {
      const { data: all, errors } = now.current;
      tell({ data: having(all, run, data, runs), errors: having(errors, run, error, runs) });
    };
    const load = (run) =>
      get(`watch/curves?${query(run, view)}`, stop.signal).then(
        (data) => put(run, data, null),
        (error) => error.name === "AbortError" || put(run, now.current.data.get(run), error.message),
      );
    loadAll(runs, load, stop.signal);
    const ends = runs.map((run) =>
      listen(`run:${run}`, (type, data) => {
        if (type === "metrics") hear(run, data);
        // after a lost connection the progress is ahead of the curves
        else if (type === "progress" && data.step > now.current.data.get(run)?.step) load(run);
      }),
    );
    const hear = (run, told) => {
      const before = now.current.data.get(run);
      if (view.range && before) return; // the part that is looked at stays as it is
      const next = before ? extended(before, told, view) : null;
      if (next) put(run, next, null);
      else load(run);
    };
    return () => (stop.abort(), ends.forEach((end) => end()));
  }, [key]);
  return [found.data, found.errors];
}

function query(run, { smoothing, axis, range, more, points }) {
  const asked = new URLSearchParams({ run, smoothing, axis, points, more: more.join(",") });
  if (range) [asked.set("start", range[0]), asked.set("end", range[1])];
  return asked;
}

async function loadAll(runs, load, signal) {
  const left = [...runs];
  const worker = async () => {
    while (left.length && !signal.aborted) await load(left.shift());
  };
  await Promise.all(Array.from({ length: AT_ONCE }, worker));
}

function having(map, run, value, runs) {
  const next = new Map([...map].filter(([name]) => runs.includes(name)));
  if (value === null || value === undefined) next.delete(run);
  else next.set(run, value);
  return next;
}

/**
 * Curves with what was logged since. Null where they must be asked for again: lines were missed, the run went on from
 * an earlier step, a metric is new, or there are too many points.
 */
export function extended(before, told, view) {
  if (told.generation !== before.generation || told.start > before.rows) return null;
  const known = new Set(before.metrics.map(({ name }) => name));
  if (Object.keys(told.points).some((name) => !known.has(name))) return null;
  const curves = { ...before.curves };
  for (const [name, points] of Object.entries(told.points)) {
    if (!curves[name]) continue;
    curves[name] = longer(curves[name], points, told.places[before.axis], view.smoothing);
    if (curves[name].step.length > TOO_MANY * view.points) return null;
  }
  const steps = Object.values(told.points).flatMap(({ step }) => step.slice(-1));
  return { ...before, curves, rows: told.rows, step: Math.max(before.step, ...steps) };
}

function longer(curve, { step, y }, places, share) {
  const last = curve.step[curve.step.length - 1] ?? -1;
  const smooth = curve.smooth && [...curve.smooth];
  const next = { ...curve, smooth, step: [...curve.step], x: [...curve.x], y: [...curve.y] };
  step.forEach((at, index) => {
    if (at <= last) return;
    next.step.push(at);
    next.x.push(places?.[at] ?? at);
    next.y.push(y[index]);
    next.count += 1;
    next.last = y[index];
    next.min = Math.min(next.min ?? y[index], y[index]);
    next.max = Math.max(next.max ?? y[index], y[index]);
    if (!next.smooth) return;
    next.total = share * next.total + y[index];
    next.weight = share * next.weight + 1;
    next.smooth.push(next.total / next.weight);
  });
  return next;
}
