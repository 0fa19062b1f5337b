"""The link from an estimator's picture in a notebook to its documentation."""

from __future__ import annotations


class DocumentationLinkMixin:
    """Let scikit-learn's HTML link to the pages of sksegment.

    With the link come tooltips that describe the parameters. It stands before
    `BaseEstimator` among the bases, which would link to scikit-learn's pages. The names
    are those that scikit-learn offers for this; should it stop to look at them, there
    is no link, and nothing else changes.
    """

    _doc_link_module = "sksegment"
    _doc_link_template = (
        "https://sksegment.github.io/sksegment/stable/reference/generated/"
        "{estimator_module}.{estimator_name}.html"
    )

    def _doc_link_url_param_generator(self) -> dict[str, str]:
        """Name the page: that of `FCNSegmenter` is a page of the package itself."""
        module, name = type(self).__module__, type(self).__name__
        module = "sksegment" if module == "sksegment.segmenter" else module
        return {"estimator_module": module, "estimator_name": name}
