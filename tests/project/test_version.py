"""Version, date and addresses are the same wherever the project writes them."""

from __future__ import annotations

import json
import re
import runpy
import tomllib
from pathlib import Path
from typing import Any

import sksegment

ROOT = Path(__file__).resolve().parents[2]


def read(path: str) -> str:
    return (ROOT / path).read_text(encoding="utf-8")


def citation() -> dict[str, str]:
    """The fields of CITATION.cff that stand on one line."""
    fields = re.findall(r'^([\w-]+): "?([^"\n]+)"?$', read("CITATION.cff"), re.M)
    return dict(fields)


def urls() -> dict[str, str]:
    return tomllib.loads(read("pyproject.toml"))["project"]["urls"]


def settings_of_site() -> dict[str, Any]:
    return runpy.run_path(str(ROOT / "docs" / "conf.py"))


def test_the_changelog_begins_with_the_version_or_with_what_comes_next() -> None:
    headings = re.findall(r"^## \[([^\]]+)\]", read("CHANGELOG.md"), re.MULTILINE)
    released = [heading for heading in headings if heading != "Unreleased"]
    assert headings[0] in ("Unreleased", sksegment.__version__)
    if headings[0] == "Unreleased":  # the version was raised, or will be
        assert sksegment.__version__.partition(".dev")[0] >= released[0]


def test_the_citation_is_of_the_newest_version_in_the_changelog() -> None:
    dated = re.findall(r"^## \[([\d.]+)\] - (\S+)$", read("CHANGELOG.md"), re.M)
    assert (citation()["version"], citation()["date-released"]) == dated[0]


def test_the_site_is_of_this_version_and_offers_it() -> None:
    settings = settings_of_site()
    assert settings["release"] == sksegment.__version__
    offered = json.loads(read("docs/_static/switcher.json"))
    (preferred,) = [entry for entry in offered if entry.get("preferred")]
    assert preferred["version"] == citation()["version"]
    assert preferred["url"] == settings["html_baseurl"]


def test_addresses_agree() -> None:
    settings = settings_of_site()
    site, repository = settings["html_baseurl"], settings["repository"]
    assert urls()["Documentation"] == urls()["Homepage"] == citation()["url"] == site
    assert urls()["Source"] == citation()["repository-code"] == repository
    assert urls()["Issues"].startswith(repository)
    assert urls()["Changelog"] == f"{site}changelog.html"
    template = sksegment.FCNSegmenter._doc_link_template
    assert template.startswith(f"{site}reference/generated/")
