// One side of a chat: the branch that is shown, and the answer that is being written at its end.
import { html, useLayoutEffect, useRef } from "../../lib/html.js";
import { t } from "../../lib/i18n.js";
import { Growing, Message } from "./message.js";

const NEAR = 60; // pixels from its end at which a list of messages follows what is written

/**
 * @param {{messages: object[], nodes: object[], growing: object | null, actions: object, name: string, secret: boolean,
 *          editing: string | null, onEdit: (id: string | null) => void, busy: boolean}} properties
 */
export function Column({ messages, nodes, growing, actions, name, secret, editing, onEdit, busy }) {
  const list = useRef();
  const follows = useRef(true);
  const looked = () => {
    const { scrollHeight, scrollTop, clientHeight } = list.current;
    follows.current = scrollHeight - scrollTop - clientHeight < NEAR;
  };
  useLayoutEffect(() => {
    if (follows.current) list.current.scrollTop = list.current.scrollHeight;
  });
  const goesOn = growing?.former;
  const shown = messages.filter((node) => node !== goesOn && node.id !== goesOn?.id);
  const called = (node) => (secret || !node.model ? name : node.model);
  return html`<section class="turns" ref=${list} tabindex="0" aria-label=${t("chat.with", { name })} onScroll=${looked}>
    ${shown.map((node, index) => html`<${Message} key=${node.id} node=${node} nodes=${nodes} actions=${actions}
      name=${called(node)} secret=${secret} busy=${busy} last=${index === messages.length - 1}
      editing=${editing === node.id} onEdit=${onEdit} />`)}
    ${growing ? html`<${Growing} answer=${growing} name=${name} />` : null}
    ${shown.length || growing ? null : html`<p class="empty soft">${t("chat.empty")}</p>`}
  </section>`;
}
