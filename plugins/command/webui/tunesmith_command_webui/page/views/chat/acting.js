// What can be done with messages, as changes of a conversation and questions to its models.
import { useRef } from "../../lib/html.js";
import { withLeaf } from "./answering.js";
import { newId, without } from "./tree.js";

/**
 * @param {object} keeping of `useConversation`
 * @param {(side: number, leaf: string, goesOn?: boolean) => void} ask
 * @param {(node: object) => void} asRow
 * @returns {(side: number) => object} the acts of a side
 */
export function useActs({ change }, ask, asRow) {
  const asking = useRef();
  asking.current = ask;
  return (side) => {
    const put = (node) => {
      const made = { ...node, id: newId(), side, created: Date.now() / 1000 };
      change((now) => ({ ...now, nodes: [...now.nodes, made], leaves: withLeaf(now.leaves, side, made.id) }));
      return made.id;
    };
    const set = (node, part) => {
      const changed = (other) => (other.id === node.id ? { ...other, ...part } : other);
      change((now) => ({ ...now, nodes: now.nodes.map(changed) }));
    };
    return {
      say: (content, parent) => asking.current(side, put({ role: "user", content, parent })),
      choose: (_, leaf) => change((now) => ({ ...now, leaves: withLeaf(now.leaves, side, leaf) })),
      answer: (node) => asking.current(side, node.id),
      retry: (node) => asking.current(side, node.parent),
      goOn: (node) => asking.current(side, node.id, true),
      rate: (node, rating) => set(node, { rating: node.rating === rating ? undefined : rating }),
      remove: (node) => change((now) => ({ ...now, nodes: without(now.nodes, node.id), leaves: kept(now, node) })),
      edit: (node, content) => {
        const { role, parent, name, tool_call_id: call, model } = node;
        const id = put({ role, parent, name, tool_call_id: call, model, content, edited: true, side: node.side });
        if (role !== "assistant") asking.current(side, id);
      },
      answerCalls: (node, given) => {
        let parent = node.id;
        node.tool_calls.forEach(({ id, function: { name } }, index) => {
          parent = put({ role: "tool", parent, name, tool_call_id: id, content: given[index] });
        });
        asking.current(side, parent);
      },
      asRow,
    };
  };
}

/** The ends of the shown branches when a message goes: what it followed, where it was on the way to one. */
function kept({ nodes, leaves }, node) {
  const left = new Set(without(nodes, node.id).map(({ id }) => id));
  return leaves.map((leaf) => (left.has(leaf) ? leaf : node.parent));
}
