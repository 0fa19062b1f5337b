"""The report as a table of a notebook, a dict and a data frame."""

from __future__ import annotations

import pickle
from copy import deepcopy
from html.parser import HTMLParser
from typing import Any

import numpy as np
import pandas as pd
import pytest

from sksegment.metrics import segmentation_report

RNG = np.random.default_rng(0)
TRUE, PREDICTED = RNG.integers(3, size=(2, 4, 6, 7))
NAMES = ["sky", "<road>", "car"]


class Cells(HTMLParser):
    """The text of all cells, row by row."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.rows: list[list[str]] = []
        self.feed(html)

    def handle_starttag(self, tag: str, attributes: Any) -> None:
        if tag == "tr":
            self.rows.append([])
        if tag in ("td", "th"):
            self.rows[-1].append("")

    def handle_data(self, data: str) -> None:
        if self.rows and self.rows[-1]:
            self.rows[-1][-1] += data


def reports(**parameters: Any) -> tuple[Any, dict[str, Any]]:
    parameters = {"target_names": NAMES, **parameters}
    shown = segmentation_report(TRUE, PREDICTED, **parameters)
    return shown, segmentation_report(TRUE, PREDICTED, output_dict=True, **parameters)


def test_report_is_a_string_and_knows_its_numbers() -> None:
    shown, numbers = reports()
    assert isinstance(shown, str)
    assert shown.to_dict() == numbers
    shown.to_dict()["sky"]["iou"] = 2
    assert shown.to_dict() == numbers


@pytest.mark.parametrize("copy", [deepcopy, lambda it: pickle.loads(pickle.dumps(it))])
def test_copies_of_a_report_know_its_numbers(copy: Any) -> None:
    shown, numbers = reports()
    assert copy(shown) == shown
    assert copy(shown).to_dict() == numbers
    assert type(shown).__module__ == "sksegment.metrics"


def test_frame_has_a_row_per_class_and_the_means_beside_it() -> None:
    shown, numbers = reports()
    frame = shown.to_frame()
    assert [*frame.index] == NAMES
    assert frame.loc["car", "iou"] == numbers["car"]["iou"]
    assert frame["pixels"].sum() == TRUE.size
    assert pd.api.types.is_float_dtype(frame["iou"])
    assert frame.attrs["mean_iou"] == numbers["mean_iou"]


@pytest.mark.parametrize("level", [None, 0.9])
def test_notebook_shows_the_numbers_of_the_text(level: Any) -> None:
    shown, numbers = reports(confidence_level=level, digits=2)
    rows = Cells(shown._repr_html_()).rows
    assert rows[0][1:] == ["iou", "dice", "accuracy", "precision", "pixels"]
    assert [row[0] for row in rows[1:4]] == NAMES
    for row in rows[1:4]:
        assert row[1].startswith(f"{numbers[row[0]]['iou']:.2f}")
        assert row[-1] == str(numbers[row[0]]["pixels"])
    means = {row[0]: row[1] for row in rows[4:]}
    assert means["mean iou"].startswith(f"{numbers['mean_iou']:.2f}")
    assert (" to " in means["mean iou"]) == (level is not None)


def test_more_names_than_labels_are_those_of_class_numbers() -> None:
    names = [f"class {number}" for number in range(21)]
    masks = np.where(TRUE == 2, 15, TRUE)
    report = segmentation_report(masks, masks, target_names=names, output_dict=True)
    assert [name for name in report if name in names] == [
        "class 0",
        "class 1",
        "class 15",
    ]


def test_more_names_than_labels_that_are_no_positions_are_refused() -> None:
    with pytest.raises(ValueError, match="target_names has 4 names for 3 labels"):
        segmentation_report(100 * TRUE, 100 * TRUE, target_names=list("abcd"))
