"""The pages that promise something name tests that exist."""

from __future__ import annotations

import re
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]


def check_named_tests(promise: str) -> None:
    named = re.findall(r"`([\w/]+/test_\w+)\.py::(\w+)`", promise)
    assert named, f"no test keeps this: {promise}"
    for file, test in named:
        source = (ROOT / "tests" / f"{file}.py").read_text(encoding="utf-8")
        assert f"\ndef {test}(" in source, f"{file}.py has no {test}"


def test_every_guarantee_names_tests_that_exist() -> None:
    page = (ROOT / "docs" / "guarantees.md").read_text(encoding="utf-8")
    promises = re.split(r"^- ", page, flags=re.MULTILINE)[1:]
    assert len(promises) >= 30
    for promise in promises:
        check_named_tests(promise)


def test_every_row_of_the_landing_page_names_a_test_that_exists() -> None:
    page = (ROOT / "docs" / "index.md").read_text(encoding="utf-8")
    rows = re.findall(r"^\| .*$", page, flags=re.MULTILINE)[2:]
    assert len(rows) >= 8
    for row in rows:
        check_named_tests(row)
