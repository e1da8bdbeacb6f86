"""The component: the interface `handler` around `runner`."""

import gc
import json
import sys
from pathlib import Path

import runner
from componentize_py_types import Err
from wit_world import exports
from wit_world.imports.types import Failure, Fault

# All of this runs once, when the component is built: there are no files later.
ENTRY = json.dumps(json.loads(Path(__file__).with_name("entry.json").read_text()) | {"match": {"language": "python"}})

# A print reaches the step's log at once, also where the cell is stopped a moment later. Text that is no
# Unicode is written as an escape instead of failing the step.
for stream in (sys.stdout, sys.stderr):
    stream.reconfigure(line_buffering=True, errors="backslashreplace")

# A collection would touch, and so copy, every page of the image that all cells share.
gc.freeze()


class Handler(exports.Handler):
    def describe(self) -> str:
        return ENTRY

    def execute(self, config: str, context: str) -> str:
        try:
            return runner.run(config, context)
        except runner.SnippetFailed as failed:
            raise Err(failure(failed)) from None
        finally:
            sys.stdout.flush()
            sys.stderr.flush()


def failure(failed: runner.SnippetFailed) -> Failure:
    details = json.dumps(failed.details) if failed.details else None
    return Failure(Fault[failed.fault.upper()], failed.code, failed.message, False, None, details)
