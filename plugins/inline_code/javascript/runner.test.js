// What a snippet sees, and what becomes of what it does. Run by `cargo xtask test`, or `node --test`.
//
// The line of a syntax error, and how the console reaches the log, need the engine and the host: `tests/it`.

import assert from "node:assert/strict";
import test from "node:test";

import { makeConsole } from "./console.js";
import { makeCrypto, makeRandom } from "./random.js";
import { run, SnippetFailed } from "./runner.js";
import { encode } from "./utf8.js";

const CONTEXT = { input: { n: 7 }, steps: { a: 1 }, step: { id: "s", attempt: 1, idempotency_key: "k" } };

/** What the snippet's result is. */
function result(code, config = {}) {
  return JSON.parse(run(JSON.stringify({ code, ...config }), JSON.stringify(CONTEXT))).result;
}

function failure(code) {
  try {
    result(code);
  } catch (failed) {
    assert.ok(failed instanceof SnippetFailed, String(failed));
    return failed;
  }
  assert.fail(`it succeeds: ${code}`);
}

function checkFails(code, fault, failureCode, text) {
  const failed = failure(code);
  assert.deepEqual([failed.fault, failed.code], [fault, failureCode]);
  assert.ok(failed.message.includes(text), failed.message);
  return failed;
}

test("a result is returned, set or declared", () => {
  assert.equal(result("return 1"), 1);
  assert.equal(result("result = 2"), 2);
  assert.equal(result("const result = 3;"), 3);
  assert.equal(result("let result; { result = 4 } // the end"), 4);
  assert.equal(result("return null"), null);
  assert.deepEqual(result("return { a: [1, 'é'] }"), { a: [1, "é"] });
});

test("input is the config's or the run's", () => {
  assert.deepEqual(result("return input", { input: [1] }), [1]);
  assert.equal(result("return input", { input: null }), null);
  assert.equal(result("return input.n"), 7);
});

test("the context is there when it is mentioned, and else not parsed", () => {
  assert.equal(result("return context.steps.a + input", { input: 1 }), 2);
  assert.equal(run('{"code": "return 1"}', "no JSON"), '{"result":1}');
});

test("a missing result fails", () => {
  checkFails("let x = 1;", "config", "missing_result", "without setting `result`");
  checkFails("return undefined", "config", "missing_result", "without setting `result`");
});

test("what is asynchronous fails with a reason", () => {
  checkFails("return await 1", "config", "syntax_error", "nothing in a cell is asynchronous");
  checkFails("return (async () => 1)()", "config", "async_result", "`result` is a promise");
  checkFails("Promise.resolve(1).then(n => { result = n })", "config", "missing_result", "no callback of a promise");
});

test("an error has its type and line", () => {
  const failed = checkFails("let x = 1;\nnull.x;", "failed", "code_error", "TypeError: ");
  assert.ok(failed.message.endsWith("(line 2: `null.x;`)"), failed.message);
  assert.deepEqual(failed.details, { type: "TypeError", line: 2 });
});

test("an unknown name is an error, also where it is set", () => {
  checkFails("return unknown", "failed", "code_error", "ReferenceError");
  checkFails("unknown = 1", "failed", "code_error", "ReferenceError");
});

test("anything may be thrown", () => {
  checkFails("throw { a: 1 }", "failed", "code_error", 'object: {"a":1}');
  checkFails("throw 'no'", "failed", "code_error", "string: no");
  checkFails("throw undefined", "failed", "code_error", "undefined");
  checkFails("const e = {}; e.e = e; throw e", "failed", "code_error", "object");
});

test("code can not leave its function", () => {
  checkFails("} function other() {", "config", "syntax_error", "SyntaxError");
  checkFails("return 1 }; {", "config", "syntax_error", "SyntaxError");
});

test("a result that is no JSON fails", () => {
  for (const code of ["() => 1", "1n", "'\\ud800'", "[['\\udc00']]", "Symbol()"]) {
    checkFails(`return ${code}`, "failed", "result_invalid", "can not be written as JSON");
  }
  checkFails("const result = {}; result.a = result;", "failed", "result_invalid", "can not be written as JSON");
  assert.equal(result("return '\\\\ud800'"), "\\ud800");
  assert.equal(result("return '😀'"), "😀");
});

test("using up the memory is a limit", () => {
  checkFails("throw new Error('out of memory')", "limit", "memory_exhausted", "raise `limits.memory`");
});

test("a long error is cut", () => {
  assert.ok(failure("throw new Error('x'.repeat(9999))").message.length < 2200);
});

test("the console writes lines", () => {
  const [out, err] = [[], []];
  const text = (lines) => (bytes) => lines.push(new TextDecoder().decode(bytes));
  const console = makeConsole(text(out), text(err));
  console.log("ö", 1, null, undefined, { a: 1 }, new Map([[1, 2]]), 5n);
  console.error(new TypeError("no"));
  const loop = {};
  loop.loop = loop;
  console.info(loop);
  assert.deepEqual(out, ['ö 1 null undefined {"a":1} [[1,2]] 5n\n', "[object Object]\n"]);
  assert.deepEqual(err, ["TypeError: no\n"]);
});

test("text is encoded as elsewhere", () => {
  for (const text of ["", "aé€😀", "\ud800x", "x\udc00"]) {
    assert.deepEqual(encode(text), new TextEncoder().encode(text));
  }
});

/** Bytes that count up from `start`. */
const counting = (start) => (count) => Array.from({ length: count }, (_, n) => (start + n) & 0xff);

test("random numbers follow from the seed alone", () => {
  const draw = (start) => Array.from({ length: 1000 }, makeRandom(counting(start)));
  assert.deepEqual(draw(1), draw(1));
  assert.notDeepEqual(draw(1), draw(2));
});

test("random numbers fill the range evenly", () => {
  const numbers = Array.from({ length: 10_000 }, makeRandom(counting(7)));
  assert.ok(numbers.every((number) => number >= 0 && number < 1));
  const mean = numbers.reduce((sum, number) => sum + number) / numbers.length;
  assert.ok(Math.abs(mean - 0.5) < 0.02, String(mean));
  assert.equal(new Set(numbers).size, numbers.length);
});

test("a UUID has version 4", () => {
  const crypto = makeCrypto(counting(0));
  assert.equal(crypto.randomUUID(), "00010203-0405-4607-8809-0a0b0c0d0e0f");
  assert.deepEqual(crypto.getRandomValues(new Uint16Array(1)), Uint16Array.of(0x0100));
});
