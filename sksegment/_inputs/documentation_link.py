"""The link from an estimator's picture in a notebook to its documentation."""

from __future__ import annotations


class DocumentationLinkMixin:
    """Let scikit-learn's HTML link to the pages of sksegment.

    With the link come tooltips that describe the parameters. It stands before
    `BaseEstimator` among the bases, which would link to scikit-learn's pages.
    """

    _doc_link_module = "sksegment"
    _doc_link_template = (
        "https://sksegment.github.io/sksegment/generated/"
        "{estimator_module}.{estimator_name}.html"
    )
