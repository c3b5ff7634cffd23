// The JSON interface. An error is thrown as ApiError, with the message that the server gave.
import { language } from "./i18n.js";

export class ApiError extends Error {
  constructor(status, message, body = null) {
    super(message);
    this.status = status;
    this.body = body;
  }
}

/**
 * Ask the interface.
 * @param {string} method
 * @param {string} path what follows /api/
 * @param {any} [body] sent as JSON; a FormData or a Blob as it is
 * @param {AbortSignal} [signal]
 */
export async function ask(method, path, body, signal) {
  const response = await request(method, path, body, signal);
  return response.status === 204 ? null : response.json();
}

export const get = (path, signal) => ask("GET", path, undefined, signal);
export const post = (path, body = {}, signal) => ask("POST", path, body, signal);
export const patch = (path, body) => ask("PATCH", path, body);
export const put = (path, body) => ask("PUT", path, body);
export const remove = (path) => ask("DELETE", path);

const PAUSE = 100; // ms

/**
 * What the same window asks again and again, of which the server answers the last that comes in, and the others with
 * 409. One that was given up may come in last: what was not given up is then asked again.
 * @param {string} path
 * @param {any} body with `client`, who asks
 * @param {AbortSignal} signal gives it up
 */
export async function newest(path, body, signal) {
  for (;;) {
    try {
      return await post(path, body, signal);
    } catch (error) {
      if (error.status !== 409 || signal.aborted) throw error;
    }
    await new Promise((done) => setTimeout(done, PAUSE));
  }
}

/** The response itself, for what is streamed or downloaded. Throws ApiError like `ask`. */
export async function request(method, path, body, signal) {
  const headers = { "X-Tunesmith": "1", "Accept-Language": language };
  const isForm = body instanceof FormData || body instanceof Blob;
  if (body !== undefined && !isForm) headers["Content-Type"] = "application/json";
  let response;
  try {
    const sent = body === undefined || isForm ? body : JSON.stringify(body);
    response = await fetch(`api/${path}`, { method, headers, body: sent, signal });
  } catch (error) {
    if (error.name === "AbortError") throw error;
    throw new ApiError(0, "unreachable");
  }
  if (response.ok) return response;
  if (response.status === 401) window.dispatchEvent(new Event("signed-out"));
  let told = null;
  try {
    told = await response.json();
  } catch {
    // an error without a body of ours: a proxy's
  }
  throw new ApiError(response.status, told?.error?.message ?? response.statusText, told);
}
