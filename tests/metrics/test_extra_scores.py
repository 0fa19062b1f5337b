"""Further scores in the report: the numbers of their functions, in the same pass."""

from __future__ import annotations

from functools import partial

import numpy as np
import pytest
from skimage.io import imsave

from sksegment.metrics import (
    boundary_f1_score,
    boundary_iou_score,
    hausdorff_distance,
    pixel_log_loss,
    segmentation_report,
)

EXTRA = [
    partial(boundary_f1_score, tolerance=1),
    partial(boundary_iou_score, width=2, over="images"),
    hausdorff_distance,
]


def masks(n=6):
    rng = np.random.default_rng(0)
    y_true = rng.integers(3, size=(n, 6, 6)).repeat(3, 1).repeat(3, 2)
    y_pred = np.roll(y_true, 1, axis=2)
    y_true[0][y_true[0] == 2] = 1
    y_pred[0][y_pred[0] == 2] = 1  # image 0 lacks class 2
    y_pred[1][y_pred[1] == 2] = 0  # and of image 1 it is missed
    return y_true, y_pred


def test_extra_scores_are_those_of_their_functions():
    y_true, y_pred = masks()
    known = {"labels": [0, 1, 2], "exclude": (0,)}
    report = segmentation_report(
        y_true, y_pred, **known, extra_scores=EXTRA, output_dict=True
    )
    names = ["boundary_f1", "boundary_iou", "hausdorff_distance"]
    for name, function in zip(names, EXTRA, strict=True):
        expected = function(y_true, y_pred, **known)
        assert report[f"mean_{name}"] == pytest.approx(expected)
        by_class = function(y_true, y_pred, **known, average=None)
        found = [report[label][name] for label in "012"]
        np.testing.assert_allclose(found, by_class)
    plain = segmentation_report(y_true, y_pred, **known, output_dict=True)
    assert {key: report[key] for key in plain if key not in "012"} == {
        key: plain[key] for key in plain if key not in "012"
    }


def test_classes_without_a_distance_are_counted():
    y_true, y_pred = masks()
    report = partial(segmentation_report, y_true, y_pred, extra_scores=EXTRA)
    assert report(output_dict=True)["n_undefined_hausdorff_distance"] == 1
    text = "pairs of image and class without a hausdorff distance: 1"
    assert text in report()
    assert text in report()._repr_html_()


@pytest.mark.parametrize("confidence_level", [None, 0.9])
def test_extra_scores_are_columns_of_the_table(confidence_level):
    y_true, y_pred = masks()
    report = partial(
        segmentation_report, y_true, y_pred, extra_scores=EXTRA,
        confidence_level=confidence_level,
    )  # fmt: skip
    scores, lines = report(output_dict=True), report().splitlines()
    assert "boundary f1  boundary iou  hausdorff distance" in lines[0]
    assert len({len(line) for line in lines[2:5]}) == 1
    shown = " ".join(lines[4].split())
    values = [scores["2"][name] for name in ("boundary_f1", "hausdorff_distance")]
    assert all(f"{value:.3f}" in shown for value in values)
    (mean,) = [line for line in lines if "mean hausdorff distance" in line]
    assert mean.split()[-1] == f"{scores['mean_hausdorff_distance']:.3f}"
    assert len(lines[0]) == len(lines[2]) or confidence_level
    frame = report().to_frame()
    assert frame.loc["1", "boundary_f1"] == scores["1"]["boundary_f1"]


def test_files_are_read_once(tmp_path, monkeypatch):
    from sksegment._inputs import image_list

    y_true, y_pred = masks(3)
    paths = [tmp_path / f"{i}.png" for i in range(3)]
    for path, mask in zip(paths, y_pred, strict=True):
        imsave(path, mask.astype(np.uint8), check_contrast=False)
    seen, read = [], image_list.read_mask
    monkeypatch.setattr(
        image_list, "read_mask", lambda path: seen.append(path) or read(path)
    )
    segmentation_report(y_true, paths, extra_scores=EXTRA)
    assert seen == paths


@pytest.mark.parametrize("score", [pixel_log_loss, np.mean, "iou"])
def test_scores_that_average_no_classes_are_refused(score):
    y_true, y_pred = masks()
    with pytest.raises(ValueError, match=r"extra_scores holds .* parameter average"):
        segmentation_report(y_true, y_pred, extra_scores=[score])


@pytest.mark.parametrize(
    "bound",
    [{"sample_weight": np.ones(3)}, {"labels": [0, 1]}, {"ignore_label": 0}],
    ids=str,
)
def test_arguments_that_all_columns_share_are_refused_in_a_score(bound):
    y_true = y_pred = np.zeros((3, 4, 5), int)
    score = partial(boundary_f1_score, **bound)
    with pytest.raises(ValueError, match=f"binds {next(iter(bound))}; expected it as"):
        segmentation_report(y_true, y_pred, extra_scores=[score])
