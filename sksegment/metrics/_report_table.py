"""The report as what users look at: a text, a table of a notebook, a data frame."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from copy import deepcopy
from html import escape
from typing import TYPE_CHECKING, Any, Self

from sksegment.metrics._formulas import CLASS_SCORES, MEAN_SCORES

if TYPE_CHECKING:
    from pandas import DataFrame

COLUMNS = (*CLASS_SCORES, "pixels")


class SegmentationReport(str):
    """The text of a report, which knows its numbers; a notebook shows it as a table.

    `segmentation_report` makes one.

    Parameters
    ----------
    scores : mapping
        What ``segmentation_report(..., output_dict=True)`` returns.
    names : sequence of str
        The classes, in order.
    digits : int
        Decimal places in the table.
    """

    __slots__ = ("_digits", "_names", "_scores")

    _scores: dict[str, Any]
    _names: list[str]
    _digits: int

    def __new__(
        cls, scores: Mapping[str, Any], names: Sequence[str], digits: int
    ) -> Self:
        report = super().__new__(cls, report_text(scores, names, digits))
        report._scores, report._names, report._digits = dict(scores), [*names], digits
        return report

    def __reduce__(self) -> tuple[Any, ...]:
        return type(self), (self._scores, self._names, self._digits)

    def to_dict(self) -> dict[str, Any]:
        """Return the numbers, as with ``output_dict=True``.

        Returns
        -------
        dict
            A copy.
        """
        return deepcopy(self._scores)

    def to_frame(self) -> DataFrame:
        """Return the scores of the classes as a data frame.

        Returns
        -------
        DataFrame
            One row per class, one column per score. The means are in its `attrs`.

        Raises
        ------
        ImportError
            If pandas is not installed.
        """
        try:
            import pandas as pd
        except ImportError as error:
            raise ImportError(
                "to_frame requires pandas, which is not installed: pip install pandas"
            ) from error
        frame = pd.DataFrame({name: self._scores[name] for name in self._names}).T
        frame = frame.astype(frame.infer_objects().dtypes)
        frame.attrs = {key: self._scores[key] for key in self._means()}
        return frame

    def _means(self) -> list[str]:
        return [key for key in self._scores if key not in self._names]

    def _repr_html_(self) -> str:
        extra = extra_columns(self._scores, self._names)
        heads = "".join(f"<th>{column}</th>" for column in ("", *COLUMNS, *extra))
        rows = [_html_row(name, self._cells(name, extra)) for name in self._names]
        gap = [""] * (len(COLUMNS) + len(extra) - 1)
        means = [
            _html_row(_spaced(score), [self._number(self._scores, score), *gap])
            for score in _mean_rows(extra)
        ]
        body = "".join([*rows, *means])
        notes = "<br>".join(map(escape, _footer(self._scores, self._names)))
        head = f"<thead><tr>{heads}</tr></thead>"
        return f"<table>{head}<tbody>{body}</tbody></table><p>{notes}</p>"

    def _cells(self, name: str, extra: list[str]) -> list[str]:
        scores = self._scores[name]
        ratios = [self._number(scores, column) for column in CLASS_SCORES]
        further = [self._number(scores, column) for column in extra]
        return [*ratios, _amount(scores), *further]

    def _number(self, scores: Mapping[str, Any], key: str) -> str:
        return f"{scores[key]:.{self._digits}f}" + _interval(scores, key, self._digits)


def _html_row(name: str, cells: Sequence[str]) -> str:
    data = "".join(f"<td>{escape(cell)}</td>" for cell in cells)
    return f"<tr><th>{escape(name)}</th>{data}</tr>"


def report_text(report: Mapping[str, Any], names: Sequence[str], digits: int) -> str:
    """Lay out a report as a table, the classes first and the means below."""
    extra = extra_columns(report, names)
    left = max(map(len, (*names, *map(_spaced, _mean_rows(extra)))))
    right = max(
        digits + 2, *(len(column) for column in COLUMNS), _widest(report, names)
    )
    header = " " * left + "".join(f"  {column:>{right}}" for column in COLUMNS)
    header += "".join(f"  {_spaced(column):>{right}}" for column in extra)
    header += "  iou interval" * ("confidence_level" in report)
    rows = [
        _class_line(name, report[name], left, right, digits)
        + _extra_cells(report[name], extra, right, digits)
        + _interval(report[name], "iou", digits)
        for name in names
    ]
    # Below the intervals of the classes.
    gap = " " * (len(COLUMNS) - 1) * (right + 2)
    gap += " " * sum(2 + max(right, len(column)) for column in extra)
    means = [
        f"{_spaced(score):>{left}}  {report[score]:>{right}.{digits}f}"
        + (gap + interval if (interval := _interval(report, score, digits)) else "")
        for score in _mean_rows(extra)
    ]
    return "\n".join([header, "", *rows, "", *means, "", *_footer(report, names), ""])


def extra_columns(report: Mapping[str, Any], names: Sequence[str]) -> list[str]:
    """Return the further scores that the classes of a report have."""
    columns = report[names[0]] if names else {}
    return [
        column
        for column in columns
        if column not in COLUMNS and not column.endswith("_interval")
    ]


def _mean_rows(extra: Sequence[str]) -> list[str]:
    return [*MEAN_SCORES, *(f"mean_{column}" for column in extra)]


def _spaced(name: str) -> str:
    return name.replace("_", " ")


def _extra_cells(
    scores: Mapping[str, Any], extra: Sequence[str], right: int, digits: int
) -> str:
    widths = [max(right, len(column)) for column in extra]
    pairs = zip(extra, widths, strict=True)
    return "".join(f"  {scores[column]:>{width}.{digits}f}" for column, width in pairs)


def _interval(scores: Mapping[str, Any], score: str, digits: int) -> str:
    """Write the interval of a score; nothing if there is none."""
    if f"{score}_interval" not in scores:
        return ""
    low, high = scores[f"{score}_interval"]
    return f"  {low:.{digits}f} to {high:.{digits}f}"


def _footer(report: Mapping[str, Any], names: Sequence[str]) -> list[str]:
    counted = [f"classes averaged: {report['n_classes_averaged']} of {len(names)}"]
    for column in extra_columns(report, names):
        if missing := report.get(f"n_undefined_{column}"):
            pairs = f"pairs of image and class without a {_spaced(column)}"
            counted.append(f"{pairs}: {missing}")
    if "confidence_level" not in report:
        return counted
    level = f"{100 * report['confidence_level']:g} %"
    images = f"bootstrap over {report['n_images_resampled']} images"
    return [*counted, f"intervals: {level}, percentiles of a {images}"]


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
