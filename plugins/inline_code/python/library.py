"""What a snippet can import.

A cell has no files, so whatever a snippet may import is imported here, when the
component is built. The list is tidiness, not the boundary: the cell is that.
"""

import base64
import bisect
import calendar
import collections
import collections.abc
import copy
import csv
import dataclasses
import datetime
import decimal
import enum
import fractions
import functools
import hashlib
import heapq
import hmac
import html
import io
import itertools
import json
import math
import operator
import random
import re
import statistics
import string
import textwrap
import time
import typing
import urllib.parse
import uuid

# Imported by the library itself, but only when one of its functions is called.
import _strptime  # noqa: F401
import encodings.ascii  # noqa: F401
import encodings.cp1252  # noqa: F401
import encodings.idna  # noqa: F401
import encodings.iso8859_15  # noqa: F401
import encodings.latin_1  # noqa: F401
import encodings.unicode_escape  # noqa: F401
import encodings.utf_16  # noqa: F401
import encodings.utf_32  # noqa: F401
import encodings.utf_8_sig  # noqa: F401

MODULES = {
    module.__name__: module
    for module in (
        base64, bisect, calendar, collections, collections.abc, copy, csv, dataclasses, datetime, decimal,
        enum, fractions, functools, hashlib, heapq, hmac, html, io, itertools, json, math, operator, random,
        re, statistics, string, textwrap, time, typing, urllib.parse, uuid,
    )
}  # fmt: skip

# What `import urllib.parse` binds: the package, as in Python.
PACKAGES = {"urllib": urllib, "urllib.parse": urllib}

# These share one generator, whose state was made when the component was built.
SEEDED = {"random", "statistics", "uuid"}


def import_module(name, globals=None, locals=None, fromlist=(), level=0):
    """Stands in for `__import__` in a snippet."""
    module = MODULES.get(name)
    if level or (module is None and not (name == "urllib" and "parse" in (fromlist or ()))):
        raise ImportError(
            f"`{name}` can not be imported: a snippet has no files, network or processes; "
            f"there is {', '.join(sorted(MODULES))}",
            name=name,
        )
    if name in SEEDED:
        random.seed()
    if fromlist:
        return module or urllib
    return PACKAGES.get(name) or MODULES[name.partition(".")[0]]
