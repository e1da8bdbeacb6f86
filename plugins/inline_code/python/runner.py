"""Runs one snippet. Knows nothing of components, so that plain Python can test it."""

import builtins
import json

import library

FILE = "<code>"
MESSAGE_CHARS = 2000
"""An error's text goes into the run's log: enough to read, too little to fill it."""
SOURCE_CHARS = 120

HIDDEN = {"breakpoint", "copyright", "credits", "exit", "help", "input", "license", "open", "quit"}
"""Builtins that need a file or a person."""


class SnippetFailed(Exception):
    """Why the step fails. `fault` is a word of the interface: config, failed or limit."""

    def __init__(self, fault, code, message, **details):
        super().__init__(message)
        self.fault = fault
        self.code = code
        self.message = message
        self.details = details


def run(config_text, context_text):
    """Runs the snippet of a step's config and gives the step's output, all three as JSON text."""
    config = json.loads(config_text)
    code = config["code"]
    names = {"__builtins__": snippet_builtins(), "__name__": "__main__"}
    add_data(names, code, config, context_text)
    execute(code, names)
    if "result" not in names:
        raise SnippetFailed(
            "config", "missing_result", "the code ended without setting `result`: end it with `result = …`"
        )
    return '{"result":' + encode(names["result"]) + "}"


def snippet_builtins():
    """A fresh copy: a snippet that changes it changes nothing of ours."""
    names = {name: value for name, value in vars(builtins).items() if name not in HIDDEN}
    names["__import__"] = library.import_module
    names["open"] = refuse_open
    return names


def refuse_open(*_args, **_kwargs):
    """Stands in for `open`."""
    raise PermissionError("a snippet has no files: take data from `input`, give data as `result`")


def add_data(names, code, config, context_text):
    """Parses what the code mentions; the context of a long run is large, and most code reads `input` only."""
    wants_input = "input" in code and "input" not in config
    if "context" in code or wants_input:
        context = json.loads(context_text)
        names["context"] = context
        names["input"] = context.get("input")
    if "input" in config:
        names["input"] = config["input"]


def execute(code, names):
    try:
        program = compile(code, FILE, "exec", dont_inherit=True)
    except (SyntaxError, ValueError) as error:
        raise syntax_failure(code, error) from None
    try:
        exec(program, names)
    except MemoryError:
        raise SnippetFailed(
            "limit", "memory_exhausted", "the code used all of its memory: raise `limits.memory`, or take less data"
        ) from None
    except BaseException as error:  # Also a snippet's own `raise SystemExit`: nothing may end the cell.
        raise error_failure(code, error) from None


def syntax_failure(code, error):
    line = getattr(error, "lineno", None)
    message = getattr(error, "msg", None) or str(error)
    if "'return' outside function" in message:
        message += "; set `result` instead"
    return located("config", "syntax_error", error, message, code, line)


def error_failure(code, error):
    return located("failed", "code_error", error, text_of(error), code, last_line(error.__traceback__))


def text_of(error):
    try:
        return str(error)[:MESSAGE_CHARS]
    except Exception:  # An exception of the snippet's own, whose `__str__` fails.
        return ""


def last_line(traceback):
    """The line of the snippet that is nearest to where the error was raised."""
    line = None
    while traceback:
        if traceback.tb_frame.f_code.co_filename == FILE:
            line = traceback.tb_lineno
        traceback = traceback.tb_next
    return line


def located(fault, failure_code, error, message, code, line):
    """The failure with the error's type and, where it is known, its line."""
    kind = type(error).__name__
    text = f"{kind}: {message}" if message else kind
    if not line:
        return SnippetFailed(fault, failure_code, text, type=kind)
    source = "".join(code.splitlines()[line - 1 : line]).strip()[:SOURCE_CHARS]
    text += f" (line {line}: `{source}`)" if source else f" (line {line})"
    return SnippetFailed(fault, failure_code, text, type=kind, line=line)


def encode(result):
    """The result as JSON text that the host takes: no NaN, no lone surrogates, no other types."""
    try:
        text = json.dumps(result, ensure_ascii=False, allow_nan=False, separators=(",", ":"))
        text.isascii() or text.encode()
    except (TypeError, ValueError, RecursionError) as error:
        raise SnippetFailed("failed", "result_invalid", f"`result` can not be written as JSON: {error}") from None
    return text
