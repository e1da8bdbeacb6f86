"""What a snippet sees, and what becomes of what it does. Run by `cargo xtask test`, or `python3 -m unittest`.

How a print reaches the log, and how randomness differs from cell to cell, needs the host: `tests/it`.
"""

import contextlib
import io
import json
import unittest

import library
import runner

CONTEXT = {"input": {"n": 7}, "steps": {"a": 1}, "step": {"id": "s", "attempt": 1, "idempotency_key": "k"}}


def result(code, **config):
    """What the snippet sets `result` to."""
    output = runner.run(json.dumps({"code": code, **config}), json.dumps(CONTEXT))
    return json.loads(output)["result"]


class Snippets(unittest.TestCase):
    def check_fails(self, code, fault, failure_code, text, **config):
        with self.assertRaises(runner.SnippetFailed) as caught:
            result(code, **config)
        failed = caught.exception
        self.assertEqual((failed.fault, failed.code), (fault, failure_code))
        self.assertIn(text, failed.message)
        return failed

    def test_a_result_is_given_back(self):
        self.assertEqual(result("result = [1, 'é', None, {'a': 2.5}]"), [1, "é", None, {"a": 2.5}])
        self.assertIsNone(result("result = None"))

    def test_input_is_the_configs_or_the_runs(self):
        self.assertEqual(result("result = input", input=[1]), [1])
        self.assertIsNone(result("result = input", input=None))
        self.assertEqual(result("result = input['n']"), 7)

    def test_the_context_is_there_when_it_is_mentioned(self):
        self.assertEqual(result("result = context['steps']['a']", input=1), 1)
        self.assertEqual(result("result = context['step']['attempt'] + input", input=1), 2)

    def test_a_context_that_is_not_mentioned_is_not_parsed(self):
        self.assertEqual(runner.run('{"code": "result = 1"}', "no JSON"), '{"result":1}')

    def test_functions_and_classes_work_at_the_top(self):
        self.assertEqual(result("def f(n): return g(n)\ndef g(n): return n + 1\nresult = f(1)"), 2)
        self.assertEqual(result("from dataclasses import dataclass\n@dataclass\nclass P:\n  x: int\nresult = P(3).x"), 3)

    def test_prints_go_to_stdout(self):
        with contextlib.redirect_stdout(io.StringIO()) as out:
            result("print('a', 1)\nresult = 0")
        self.assertEqual(out.getvalue(), "a 1\n")

    def test_a_missing_result_fails(self):
        self.check_fails("x = 1", "config", "missing_result", "without setting `result`")

    def test_an_error_has_its_type_and_line(self):
        failed = self.check_fails("x = 1\nresult = x / 0", "failed", "code_error", "ZeroDivisionError: division by zero")
        self.assertIn("(line 2: `result = x / 0`)", failed.message)
        self.assertEqual(failed.details, {"type": "ZeroDivisionError", "line": 2})

    def test_an_error_below_the_library_has_the_snippets_line(self):
        failed = self.check_fails("import json\n\njson.loads('{')", "failed", "code_error", "JSONDecodeError")
        self.assertEqual(failed.details["line"], 3)

    def test_a_syntax_error_has_its_line(self):
        failed = self.check_fails("x = 1\ny = = 2", "config", "syntax_error", "SyntaxError: ")
        self.assertEqual(failed.details, {"type": "SyntaxError", "line": 2})
        self.check_fails("x = '\0'", "config", "syntax_error", "null bytes")

    def test_a_return_at_the_top_gets_advice(self):
        self.check_fails("return 1", "config", "syntax_error", "set `result` instead")

    def test_nothing_ends_the_cell(self):
        self.check_fails("raise SystemExit(3)", "failed", "code_error", "SystemExit: 3")
        self.check_fails("raise KeyboardInterrupt", "failed", "code_error", "KeyboardInterrupt")

    def test_an_error_whose_text_fails_is_still_reported(self):
        code = "class E(Exception):\n  def __str__(self): return 1\nraise E"
        self.check_fails(code, "failed", "code_error", "E (line 3: `raise E`)")

    def test_a_long_error_is_cut(self):
        failed = self.check_fails("raise ValueError('x' * 9999)", "failed", "code_error", "xxx")
        self.assertLess(len(failed.message), runner.MESSAGE_CHARS + 200)

    def test_endless_recursion_is_an_error(self):
        self.check_fails("def f(): f()\nf()", "failed", "code_error", "RecursionError")

    def test_using_up_the_memory_is_a_limit(self):
        self.check_fails("raise MemoryError", "limit", "memory_exhausted", "raise `limits.memory`")

    def test_a_result_that_is_no_json_fails(self):
        for code in ["{1}", "float('nan')", "'\\ud800'", "object()", "10 ** 5000"]:
            self.check_fails(f"result = {code}", "failed", "result_invalid", "can not be written as JSON")
        self.check_fails("result = []\nresult.append(result)", "failed", "result_invalid", "Circular")


class Library(unittest.TestCase):
    def test_every_module_of_the_list_can_be_imported(self):
        for name in library.MODULES:
            self.assertEqual(result(f"import {name}\nresult = 1"), 1, name)

    def test_dotted_names_bind_as_in_python(self):
        self.assertEqual(result("import urllib.parse\nresult = urllib.parse.quote('a b')"), "a%20b")
        self.assertEqual(result("from urllib.parse import quote\nresult = quote('a b')"), "a%20b")
        self.assertEqual(result("from urllib import parse\nresult = parse.quote('a b')"), "a%20b")
        self.assertEqual(result("import urllib.parse as p\nresult = p.quote('a b')"), "a%20b")
        self.assertEqual(result("import collections.abc\nresult = collections.deque([1]).pop()"), 1)
        self.assertTrue(result("from collections.abc import Mapping\nresult = issubclass(dict, Mapping)"))

    def test_files_network_and_processes_can_not(self):
        for code in [
            "import os", "import sys", "import socket", "import subprocess", "import pathlib", "import urllib.request",
            "from os import path", "import importlib", "__import__('os')", "from . import x", "import urllib",
        ]:  # fmt: skip
            with self.assertRaises(runner.SnippetFailed, msg=code) as caught:
                result(code)
            self.assertIn("can not be imported", caught.exception.message)

    def test_there_are_no_files_and_there_is_nobody_to_ask(self):
        with self.assertRaises(runner.SnippetFailed) as caught:
            result("open('/etc/passwd')")
        self.assertIn("a snippet has no files", caught.exception.message)
        for name in ["exit", "quit", "breakpoint"]:
            with self.assertRaises(runner.SnippetFailed) as caught:
                result(f"{name}()")
            self.assertIn("NameError", caught.exception.message)

    def test_a_snippet_can_not_change_the_builtins_of_the_next(self):
        result("__builtins__['len'] = None\nresult = 1")
        self.assertEqual(result("result = len([1])"), 1)


if __name__ == "__main__":
    unittest.main()
