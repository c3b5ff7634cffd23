// What changes, told by one websocket for the whole page; it comes back by itself when the server does.
import { useEffect, useState } from "preact/hooks";
import { get } from "./api.js";

const listeners = new Map(); // topic -> functions
const states = new Set(); // functions that are told whether there is a connection
let socket = null;
let wanted = "";
let pause = 500; // ms before the next try

function address() {
  const url = new URL("api/socket", document.baseURI);
  url.protocol = url.protocol.replace("http", "ws");
  return url;
}

function connect() {
  socket = new WebSocket(address());
  wanted = "";
  socket.onopen = () => {
    pause = 500;
    states.forEach((tell) => tell(true));
    subscribe();
  };
  socket.onmessage = ({ data }) => {
    const message = JSON.parse(data);
    (listeners.get(message.topic) ?? []).forEach((hear) => hear(message.type, message.data));
  };
  socket.onclose = lost;
}

/** Try again, unless the server is there and wants a password: it keeps out whoever has none without a word. */
async function lost() {
  socket = null;
  const session = await get("session").catch(() => null);
  if (session && !session.signed_in) {
    dispatchEvent(new Event("signed-out"));
    return; // signing in draws the page again, whose listeners connect
  }
  if (!session) states.forEach((tell) => tell(false));
  setTimeout(() => socket || connect(), pause);
  pause = Math.min(pause * 2, 10000);
}

addEventListener("signed-out", () => socket?.close());

function subscribe() {
  if (!socket) return listeners.size ? connect() : undefined;
  if (socket.readyState !== WebSocket.OPEN) return;
  const topics = [...listeners.keys()].sort();
  const now = JSON.stringify({ topics });
  if (now !== wanted) socket.send((wanted = now));
}

/**
 * Listen to a topic; its state comes first, again after every reconnection and whenever the set of topics changes.
 * @param {string} topic such as "jobs" or "run:NAME"
 * @param {(type: string, data: any) => void} hear
 * @returns {() => void} what ends it
 */
export function listen(topic, hear) {
  if (listeners.has(topic)) wanted = ""; // so that who comes later is told its state, too
  listeners.set(topic, [...(listeners.get(topic) ?? []), hear]);
  queueMicrotask(subscribe);
  return () => {
    const left = listeners.get(topic).filter((other) => other !== hear);
    if (left.length) listeners.set(topic, left);
    else listeners.delete(topic);
    queueMicrotask(subscribe);
  };
}

/** `listen` for the life of a component; nothing for an empty topic. */
export function useTopic(topic, hear) {
  useEffect(() => (topic ? listen(topic, hear) : undefined), [topic]);
}

/** Whether the server is there. */
export function useConnected() {
  const [connected, set] = useState(true);
  useEffect(() => {
    states.add(set);
    return () => states.delete(set);
  }, []);
  return connected;
}
