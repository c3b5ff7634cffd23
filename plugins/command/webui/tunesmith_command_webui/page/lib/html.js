// Preact with htm: components are functions, markup is a tagged template, and text is never taken for markup.
import { h } from "preact";
import htm from "htm";

export { render, createContext, Fragment } from "preact";
export * from "preact/hooks";
export const html = htm.bind(h);
