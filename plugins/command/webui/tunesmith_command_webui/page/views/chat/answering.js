// Answers that are being written, one for each side of a chat, and what becomes of them in the tree.
import { useRef, useState } from "../../lib/html.js";
import { t } from "../../lib/i18n.js";
import { complain } from "../../components/toast.js";
import { answered } from "./stream.js";
import { find, newId, path, sent } from "./tree.js";

const NUMBERS = [
  ...["temperature", "top_p", "top_k", "min_p", "max_tokens", "seed"],
  ...["repetition_penalty", "presence_penalty", "frequency_penalty"],
];

/** What the settings say, as fields of a request that this model takes. */
export function fieldsOf(settings, can) {
  const fields = {};
  for (const name of NUMBERS) {
    if (settings[name] !== "" && settings[name] !== undefined) fields[name] = Number(settings[name]);
  }
  if (settings.greedy) fields.temperature = 0;
  const stop = (settings.stop ?? "").split("\n").filter(Boolean);
  if (stop.length) fields.stop = stop;
  if (settings.thinking && can.switches_thinking) fields.enable_thinking = settings.thinking === "on";
  if (settings.logprobs) Object.assign(fields, { logprobs: true, top_logprobs: 5 });
  const tools = toolsOf(settings);
  if (tools.length && can.tools) fields.tools = tools;
  return fields;
}

/** The functions that may be called; none where their JSON is wrong. */
export function toolsOf({ tools }) {
  try {
    return tools?.trim() ? checkedTools(tools) : [];
  } catch {
    return [];
  }
}

/** Tools from JSON: a list of functions, bare or as OpenAI wraps them. Throws where it is none. */
export function checkedTools(text) {
  const found = JSON.parse(text);
  if (!Array.isArray(found)) throw new Error(t("chat.tools_list"));
  return found.map((each, index) => {
    const tool = each?.function ? each : { type: "function", function: each };
    const name = tool.function?.name;
    if (typeof name !== "string" || !name) throw new Error(t("chat.tools_name", { index }));
    return tool;
  });
}

/**
 * @param {object} keeping of `useConversation`
 * @param {(side: number) => object | null} modelOf the loaded model of a side
 * @param {object} settings
 * @param {(text: string) => void} finished told what an answer says once it is whole
 */
export function useAnswers({ current, change }, modelOf, settings, finished) {
  const [growing, setGrowing] = useState({});
  const running = useRef({});
  const grow = (side, answer) => setGrowing((now) => ({ ...now, [side]: answer }));

  /** Have the model of a side answer what ends with `leaf`, or go on with it. */
  const ask = async (side, leaf, goesOn = false) => {
    const model = modelOf(side);
    if (!model || running.current[side]) return;
    const { nodes } = current.current;
    const former = goesOn ? find(nodes, leaf) : null;
    const body = { ...fieldsOf(settings, model.can), messages: sent(path(nodes, leaf), settings.system) };
    if (goesOn) Object.assign(body, { continue_final_message: true, add_generation_prompt: false });
    const controller = (running.current[side] = new AbortController());
    const opened = current.current.opened;
    grow(side, { content: "", reasoning: "", former });
    let answer;
    try {
      answer = await answered(model.id, body, (now) => grow(side, { ...now, former }), controller.signal);
    } catch (error) {
      complain(error);
      answer = error.answer && { ...error.answer, finish: "failed" };
    }
    delete running.current[side];
    grow(side, null);
    const says = answer && (answer.content || answer.reasoning || answer.tool_calls);
    if (!says || current.current.opened !== opened) return;
    change((now) => (former ? goneOn(now, former, answer) : added(now, side, leaf, answer, model)));
    finished(answer.content || answer.reasoning);
  };
  const stop = () => Object.values(running.current).forEach((controller) => controller.abort());
  return { growing, ask, stop, busy: Object.values(growing).some(Boolean) };
}

function added(now, side, parent, answer, model) {
  const kept = Object.fromEntries(Object.entries(answer).filter(([, value]) => value !== "" && value !== null));
  const whose = { id: newId(), parent, side, role: "assistant", model: model.source, created: Date.now() / 1000 };
  const node = { content: "", ...kept, ...whose };
  return { ...now, nodes: [...now.nodes, node], leaves: withLeaf(now.leaves, side, node.id) };
}

function goneOn(now, former, answer) {
  const content = former.content + answer.content;
  const grown = { content, finish: answer.finish, logprobs: undefined };
  const nodes = now.nodes.map((node) => (node.id === former.id ? { ...node, ...grown } : node));
  return { ...now, nodes };
}

/** The ends of the shown branches, with another one on a side. */
export const withLeaf = (leaves, side, id) => leaves.map((leaf, index) => (index === side ? id : leaf));
