// `console`, whose lines become the step's log.

import { encode } from "./utf8.js";

/** A console that gives each line's bytes to `out` or, what warns, to `err`. */
export function makeConsole(out, err) {
  const printer = (write) => (...values) => write(encode(`${values.map(shown).join(" ")}\n`));
  const [log, error] = [printer(out), printer(err)];
  return { log, info: log, debug: log, warn: error, error };
}

function shown(value) {
  if (typeof value === "string") return value;
  if (value instanceof Error) return `${value.name}: ${value.message}`;
  if (typeof value !== "object" || value === null) return typeof value === "bigint" ? `${value}n` : String(value);
  try {
    return JSON.stringify(value instanceof Map || value instanceof Set ? [...value] : value) ?? String(value);
  } catch {
    return String(value); // A value that holds itself.
  }
}
