"""Packages that only some features need, and how to install them."""

from __future__ import annotations

from importlib import import_module


def check_installed(caller: str, extra: str, *packages: str) -> None:
    """Reject a call whose packages are not installed.

    Parameters
    ----------
    caller : str
        What the user called.
    extra : str
        The extra of sksegment that brings the packages.
    *packages : str
        Names of the packages.

    Raises
    ------
    ImportError
        Naming the first that is missing, and the line that installs it.
    """
    for package in packages:
        try:
            import_module(package)
        except ImportError as error:
            raise ImportError(
                f"{caller} requires {package}, which is not installed. Install it "
                f'with: pip install "sksegment[{extra}]"'
            ) from error
