"""What notebooks show of the estimators: a link to their pages, and tooltips."""

from __future__ import annotations

from typing import Any

import pytest
from sklearn.pipeline import make_pipeline

from sksegment import FCNSegmenter
from sksegment.augmentation import RandomFlip, RandomZoom
from sksegment.calibration import TemperatureScaling
from sksegment.ensemble import VotingSegmenter

ESTIMATORS = [
    (FCNSegmenter(), "sksegment.FCNSegmenter", 20),
    (RandomFlip(), "sksegment.augmentation.RandomFlip", 4),
    (VotingSegmenter([]), "sksegment.ensemble.VotingSegmenter", 2),
    (
        TemperatureScaling(FCNSegmenter()),
        "sksegment.calibration.TemperatureScaling",
        2,
    ),
]


@pytest.mark.parametrize("estimator, page, n_tooltips", ESTIMATORS)
def test_html_links_to_the_page_and_describes_parameters(
    estimator: Any, page: str, n_tooltips: int
) -> None:
    html = estimator._repr_html_()
    assert f"/stable/reference/generated/{page}.html" in html
    assert html.count("param-doc-description") >= n_tooltips


def test_html_of_a_pipeline_links_to_each_step() -> None:
    html = make_pipeline(RandomZoom(), FCNSegmenter())._repr_html_()
    assert "/generated/sksegment.augmentation.RandomZoom.html" in html
    assert "/generated/sksegment.FCNSegmenter.html" in html


def test_a_subclass_of_a_user_has_no_page_of_ours() -> None:
    class OwnSegmenter(FCNSegmenter):
        __module__ = "elsewhere"

    assert "/generated/" not in OwnSegmenter()._repr_html_()
