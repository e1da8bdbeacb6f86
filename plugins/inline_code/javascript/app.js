// The component: the interface `handler` around `runner.js`.

import stderr from "wasi:cli/stderr@0.2.12";
import stdout from "wasi:cli/stdout@0.2.12";
import random from "wasi:random/random@0.2.12";

import { makeConsole } from "./console.js";
import entry from "./entry.js";
import { makeCrypto, makeRandom } from "./random.js";
import { run, SnippetFailed } from "./runner.js";

/** As much as WASI takes in one write. */
const WRITE_BYTES = 4096;

const ENTRY = JSON.stringify({ ...entry, match: { language: "javascript" } });
const randomBytes = (count) => random.getRandomBytes(count);

Math.random = makeRandom(randomBytes);
globalThis.crypto = makeCrypto(randomBytes);
globalThis.console = makeConsole(
  (line) => write(stdout.getStdout(), line),
  (line) => write(stderr.getStderr(), line),
);
// The engine's own counts from when the component was built.
let origin;
globalThis.performance = { now: () => Date.now() - (origin ??= Date.now()) };
// No job ever runs within the call of a synchronous export.
delete globalThis.queueMicrotask;

export const handler = {
  describe: () => ENTRY,

  execute(config, context) {
    try {
      return run(config, context);
    } catch (failed) {
      // Whatever else is thrown here is our own mistake; it traps the cell, and the host reports it as that.
      throw failed instanceof SnippetFailed ? failure(failed) : failed;
    }
  },
};

function failure({ fault, code, message, details }) {
  return {
    fault,
    code,
    message,
    retryable: false,
    retryAfterMs: null,
    details: details ? JSON.stringify(details) : null,
  };
}

function write(stream, bytes) {
  try {
    for (let start = 0; start < bytes.length; start += WRITE_BYTES) {
      stream.blockingWriteAndFlush(bytes.subarray(start, start + WRITE_BYTES));
    }
  } finally {
    stream[Symbol.dispose]();
  }
}
