"""The report: every score of every class, as a table or as a dict."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

COLUMNS = ("iou", "dice", "accuracy", "precision", "pixels")
SUMMARY = (
    "pixel_accuracy",
    "mean_accuracy",
    "mean_iou",
    "frequency_weighted_iou",
    "mean_dice",
)
RESERVED = (
    *SUMMARY,
    *(f"{score}_interval" for score in SUMMARY),
    "confidence_level",
    "n_classes_averaged",
    "n_images_resampled",
)


def report_names(
    labels: Sequence[Any], target_names: Sequence[str] | None
) -> list[str]:
    """Return one distinct name per class."""
    if target_names is None:
        return _label_names(labels)
    names = [str(name) for name in target_names]
    if len(names) != len(labels):
        raise ValueError(
            f"target_names has {len(names)} names for {len(labels)} labels; expected "
            f"one name per label. Name the labels, in the same order, with labels=."
        )
    clash = {name for name in names if names.count(name) > 1 or name in RESERVED}
    if clash:
        raise ValueError(
            f"target_names holds {sorted(clash)}, twice or as the name of a score; "
            f"expected names that tell the classes apart."
        )
    return names


def _label_names(labels: Sequence[Any]) -> list[str]:
    names = [str(label) for label in labels]
    clash = sorted(set(names) & set(RESERVED))
    if clash:
        raise ValueError(
            f"labels holds {clash}, which the report uses as names of its own; "
            f"expected other names of the classes: pass target_names=."
        )
    return names


def report_text(report: Mapping[str, Any], names: Sequence[str], digits: int) -> str:
    """Lay out a report as a table, the classes first and the means below."""
    left = max(map(len, (*names, *(score.replace("_", " ") for score in SUMMARY))))
    right = max(
        digits + 2, *(len(column) for column in COLUMNS), _widest(report, names)
    )
    header = " " * left + "".join(f"  {column:>{right}}" for column in COLUMNS)
    header += "  iou interval" * ("confidence_level" in report)
    rows = [
        _class_line(name, report[name], left, right, digits)
        + _interval(report[name], "iou", digits)
        for name in names
    ]
    # Below the intervals of the classes.
    gap = " " * (len(COLUMNS) - 1) * (right + 2)
    means = [
        f"{score.replace('_', ' '):>{left}}  {report[score]:>{right}.{digits}f}"
        + (gap + interval if (interval := _interval(report, score, digits)) else "")
        for score in SUMMARY
    ]
    return "\n".join([header, "", *rows, "", *means, "", *_footer(report, names), ""])


def _interval(scores: Mapping[str, Any], score: str, digits: int) -> str:
    """Write the interval of a score; nothing if there is none."""
    if f"{score}_interval" not in scores:
        return ""
    low, high = scores[f"{score}_interval"]
    return f"  {low:.{digits}f} to {high:.{digits}f}"


def _footer(report: Mapping[str, Any], names: Sequence[str]) -> list[str]:
    counted = f"classes averaged: {report['n_classes_averaged']} of {len(names)}"
    if "confidence_level" not in report:
        return [counted]
    level = f"{100 * report['confidence_level']:g} %"
    images = f"bootstrap over {report['n_images_resampled']} images"
    return [counted, f"intervals: {level}, percentiles of a {images}"]


def _class_line(
    name: str, scores: Mapping[str, Any], left: int, right: int, digits: int
) -> str:
    ratios = [f"{scores[column]:>{right}.{digits}f}" for column in COLUMNS[:-1]]
    return "  ".join([f"{name:>{left}}", *ratios, f"{_amount(scores):>{right}}"])


def _widest(report: Mapping[str, Any], names: Sequence[str]) -> int:
    return max((len(_amount(report[name])) for name in names), default=0)


def _amount(scores: Mapping[str, Any]) -> str:
    """Write a number of pixels; a sum of weights need not be whole."""
    pixels = scores["pixels"]
    return str(pixels) if isinstance(pixels, int) else f"{pixels:.1f}"
