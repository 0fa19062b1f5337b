"""What `show_versions` prints for a bug report."""

from __future__ import annotations

from importlib.metadata import version

import pytest

import sksegment
from sksegment import _show_versions


def printed(capsys: pytest.CaptureFixture[str]) -> dict[str, str]:
    sksegment.show_versions()
    lines = capsys.readouterr().out.splitlines()
    return dict(line.split(": ", 1) for line in lines)


def test_show_versions_names_packages_and_hardware(
    capsys: pytest.CaptureFixture[str],
) -> None:
    facts = printed(capsys)
    assert facts["sksegment"] == sksegment.__version__
    assert facts["torch"] == version("torch")
    assert {"Python", "system", "processors", "CUDA"} <= set(facts)


def test_show_versions_tells_what_is_not_installed(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(_show_versions, "PACKAGES", ("numpy", "no-such-package"))
    assert printed(capsys)["no-such-package"] == "not installed"
