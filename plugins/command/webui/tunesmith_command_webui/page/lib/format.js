// Numbers, sizes and times as people read them, in the language of the page.
import { language } from "./i18n.js";

const made = new Map();

function formatter(options) {
  const key = language + JSON.stringify(options);
  if (!made.has(key)) made.set(key, new Intl.NumberFormat(language, options));
  return made.get(key);
}

/** 0.00012345 → 0.000123, 1234567 → 1,234,567 */
export function number(value, digits = 4) {
  if (value === null || value === undefined) return "–";
  if (!Number.isFinite(value)) return String(value);
  const small = value !== 0 && Math.abs(value) < 1e-3;
  return formatter({ maximumSignificantDigits: digits, notation: small ? "scientific" : "standard" }).format(value);
}

export const integer = (value) => formatter({ maximumFractionDigits: 0 }).format(value);
export const percent = (value) => formatter({ style: "percent", maximumFractionDigits: 1 }).format(value);

/** Bytes in powers of 1024, as the plan has them. */
export function bytes(value) {
  if (value === null || value === undefined) return "–";
  const units = ["B", "KB", "MB", "GB", "TB"];
  let [size, power] = [value, 0];
  while (size >= 999.5 && power < 4) [size, power] = [size / 1024, power + 1];
  return `${formatter({ maximumSignificantDigits: 3 }).format(size)} ${units[power]}`;
}

/** Seconds as 4 s, 3:05 min, 2:10 h, 3 d 4 h. */
export function duration(seconds) {
  if (seconds === null || seconds === undefined || !Number.isFinite(seconds)) return "–";
  const two = (value) => String(value).padStart(2, "0");
  const whole = Math.round(seconds);
  if (whole < 60) return `${whole} s`;
  if (whole < 3600) return `${Math.floor(whole / 60)}:${two(whole % 60)} min`;
  if (whole < 86400) return `${Math.floor(whole / 3600)}:${two(Math.floor((whole % 3600) / 60))} h`;
  return `${Math.floor(whole / 86400)} d ${Math.floor((whole % 86400) / 3600)} h`;
}

/** A moment, in seconds since 1970, as a date and a time. */
export function moment(seconds) {
  return new Intl.DateTimeFormat(language, { dateStyle: "medium", timeStyle: "short" }).format(seconds * 1000);
}
