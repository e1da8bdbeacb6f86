// Runs one snippet. Knows nothing of components, so that Node can test it.

/** An error's text goes into the run's log: enough to read, too little to fill it. */
const MESSAGE_CHARS = 2000;
const SOURCE_CHARS = 120;

/** How many lines `new Function` puts before the text that it is given. */
const LINES_BEFORE = 2;

/** What `result` is until a snippet sets it. */
const UNSET = Symbol("unset");

/** Why the step fails. `fault` is a word of the interface: config, failed or limit. */
export class SnippetFailed {
  constructor(fault, code, message, details) {
    Object.assign(this, { fault, code, message, details });
  }
}

/** Runs the snippet of a step's config and gives the step's output, all three as JSON text. */
export function run(configText, contextText) {
  const config = JSON.parse(configText);
  const { code } = config;
  const snippet = compile(code);
  const { input, context } = data(config, contextText);
  const result = execute(code, () => snippet(input, context));
  return `{"result":${encode(code, result)}}`;
}

/**
 * A function of the snippet. `result` is outside of it, so that a snippet may set it or declare its own, and it is
 * read inside, where both are seen.
 */
function compile(code) {
  try {
    // By itself first: with one brace too many it would end the function around it.
    new Function(`"use strict";${code}\n`);
    return new Function("result", `return function (input, context) {"use strict";${code}\nreturn result;}`)(UNSET);
  } catch (error) {
    throw syntaxFailure(code, error);
  }
}

/** Parses what the code mentions; the context of a long run is large, and most code reads `input` only. */
function data(config, contextText) {
  const given = "input" in config;
  const wanted = config.code.includes("context") || (!given && config.code.includes("input"));
  const context = wanted ? JSON.parse(contextText) : undefined;
  return { context, input: given ? config.input : context?.input };
}

function execute(code, snippet) {
  try {
    return snippet();
  } catch (error) {
    if (error instanceof Error && error.message === "out of memory") {
      throw new SnippetFailed(
        "limit",
        "memory_exhausted",
        "the code used all of its memory: raise `limits.memory`, or take less data",
      );
    }
    throw errorFailure(code, error);
  }
}

/** The result as JSON text that the host takes. */
function encode(code, result) {
  if (result === UNSET || result === undefined) {
    throw missing(code);
  }
  if (typeof result?.then === "function") {
    throw new SnippetFailed("config", "async_result", `\`result\` is a promise: ${NOTHING_ASYNC}`);
  }
  let text;
  try {
    text = JSON.stringify(result);
  } catch (error) {
    throw invalid(textOf(error));
  }
  if (text === undefined) {
    throw invalid(`it is a ${typeof result}`);
  }
  // Only half a character is written as such an escape; a backslash before it is text of the snippet's own.
  if (text.includes("\\ud") && /(?<!\\)(?:\\\\)*\\ud[89a-f]/.test(text)) {
    throw invalid("a text in it holds half a character");
  }
  return text;
}

const NOTHING_ASYNC = "nothing in a cell is asynchronous, and no callback of a promise runs; call functions directly";

function missing(code) {
  let message = "the code ended without setting `result`: end it with `return …` or `result = …`";
  if (/\b(async|await|Promise)\b/.test(code)) {
    message += `; ${NOTHING_ASYNC}`;
  }
  return new SnippetFailed("config", "missing_result", message);
}

function invalid(reason) {
  return new SnippetFailed("failed", "result_invalid", `\`result\` can not be written as JSON: ${reason}`);
}

function syntaxFailure(code, error) {
  const line = lineOf(error);
  let message = located(error, code, line);
  if (/\bawait\b/.test(code)) {
    message += `; ${NOTHING_ASYNC}`;
  }
  return new SnippetFailed("config", "syntax_error", message, details(error, line));
}

function errorFailure(code, error) {
  const line = lineOf(error);
  return new SnippetFailed("failed", "code_error", located(error, code, line), details(error, line));
}

function details(error, line) {
  return line ? { type: typeOf(error), line } : { type: typeOf(error) };
}

/** Anything can be thrown, also what is no error. */
function typeOf(error) {
  return error instanceof Error ? String(error.name) : typeof error;
}

function textOf(error) {
  try {
    const text = error instanceof Error ? error.message : typeof error === "object" ? JSON.stringify(error) : error;
    return String(text).slice(0, MESSAGE_CHARS);
  } catch {
    return ""; // An error of the snippet's own, whose text fails in turn.
  }
}

/** The line of the snippet that is nearest to where the error was made. */
function lineOf(error) {
  const [, line] = /(?:<input>|<anonymous>):(\d+)/.exec(error?.stack ?? "") ?? [];
  return line > LINES_BEFORE ? line - LINES_BEFORE : null;
}

function located(error, code, line) {
  const text = [typeOf(error), textOf(error)].filter(Boolean).join(": ");
  const source = code.split("\n")[line - 1]?.trim().slice(0, SOURCE_CHARS);
  if (!line) {
    return text;
  }
  return source ? `${text} (line ${line}: \`${source}\`)` : `${text} (line ${line})`;
}
