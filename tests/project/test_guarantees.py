"""The page of guarantees names tests that exist."""

from __future__ import annotations

import re
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]


def test_every_guarantee_names_tests_that_exist() -> None:
    page = (ROOT / "docs" / "guarantees.md").read_text(encoding="utf-8")
    promises = re.split(r"^- ", page, flags=re.MULTILINE)[1:]
    assert len(promises) >= 30
    for promise in promises:
        named = re.findall(r"`([\w/]+/test_\w+)\.py::(\w+)`", promise)
        assert named, f"no test keeps this: {promise}"
        for file, test in named:
            source = (ROOT / "tests" / f"{file}.py").read_text(encoding="utf-8")
            assert f"\ndef {test}(" in source, f"{file}.py has no {test}"
