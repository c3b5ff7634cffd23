// An answer as it is written: server-sent events read from a response, put together to a message.
import { request } from "../../lib/api.js";

const PAUSE = 60; // milliseconds between two drawings of an answer that grows

/**
 * Ask a model, and tell of its answer as it grows.
 * @param {string} id of the loaded model
 * @param {object} body of OpenAI's chat completions
 * @param {(answer: object) => void} grown called with the answer so far: content, reasoning, tool_calls, logprobs …
 * @param {AbortSignal} signal ends the answer; what was written until then is returned
 * @returns {Promise<object>} the whole answer, with `finish`, `usage`, `seconds` and `first` (until its first token)
 */
export async function answered(id, body, grown, signal) {
  const begun = performance.now();
  const answer = { content: "", reasoning: "", finish: null };
  let drawn = 0;
  const asked = { ...body, stream: true, stream_options: { include_usage: true } };
  try {
    const response = await request("POST", `chats/${id}/messages`, asked, signal);
    for await (const chunk of events(response.body)) {
      if (chunk.error) throw new Error(chunk.error.message);
      take(answer, chunk, begun);
      if (performance.now() - drawn < PAUSE) continue;
      drawn = performance.now();
      grown({ ...answer });
    }
  } catch (error) {
    if (error.name !== "AbortError") throw Object.assign(error, { answer });
    answer.finish = "stopped";
  }
  answer.seconds = (performance.now() - begun) / 1000;
  return answer;
}

function take(answer, chunk, begun) {
  if (chunk.usage) answer.usage = chunk.usage;
  const choice = chunk.choices?.[0];
  if (!choice) return;
  const { content, reasoning_content: thought, tool_calls: calls } = choice.delta;
  if (content || thought || calls) answer.first ??= (performance.now() - begun) / 1000;
  answer.content += content ?? "";
  answer.reasoning += thought ?? "";
  if (choice.logprobs?.content) answer.logprobs = [...(answer.logprobs ?? []), ...choice.logprobs.content.map(brief)];
  for (const call of calls ?? []) called(answer, call);
  if (choice.finish_reason) answer.finish = choice.finish_reason;
}

const brief = ({ token, logprob, top_logprobs: top }) => ({
  token,
  logprob,
  top: (top ?? []).map((other) => [other.token, other.logprob]),
});

/** A call of a tool may come in pieces; its arguments are put together. */
function called(answer, piece) {
  answer.tool_calls = [...(answer.tool_calls ?? [])];
  const former = answer.tool_calls[piece.index];
  const text = (former?.function.arguments ?? "") + (piece.function?.arguments ?? "");
  const name = piece.function?.name ?? former?.function.name;
  const id = piece.id ?? former?.id;
  answer.tool_calls[piece.index] = { id, type: "function", function: { name, arguments: text } };
}

/** The data of server-sent events, read as JSON, without the last one, `[DONE]`. */
async function* events(stream) {
  const reader = stream.pipeThrough(new TextDecoderStream()).getReader();
  let held = "";
  try {
    for (;;) {
      const { value, done } = await reader.read();
      if (done) return;
      const lines = (held + value).split("\n");
      held = lines.pop();
      for (const line of lines) {
        if (line.startsWith("data: {")) yield JSON.parse(line.slice(6));
      }
    }
  } finally {
    reader.cancel().catch(() => {});
  }
}
