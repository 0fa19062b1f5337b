"""The lower bounds of pyproject.toml are those that .ci/run tests."""

import tomllib
from pathlib import Path

from packaging.requirements import Requirement

ROOT = Path(__file__).parents[2]
# Not needed by the tests that run at the lowest versions, or not to be had (see there).
NOT_RUN = {"torch", "sksegment"}
TESTED_EXTRAS = ("plot", "safetensors", "remote", "dask", "imagecodecs", "test")


def lower_bounds():
    project = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]
    extras = project["optional-dependencies"]
    lines = [*project["dependencies"]]
    for extra in TESTED_EXTRAS:
        lines += extras[extra]
    requirements = [Requirement(line) for line in lines]
    return {
        requirement.name: str(requirement.specifier).removeprefix(">=")
        for requirement in requirements
        if requirement.name not in NOT_RUN
    }


def lowest_versions():
    lines = (ROOT / ".ci" / "lowest.txt").read_text("utf-8").splitlines()
    pins = [line.split("==") for line in lines if line and not line.startswith("#")]
    return dict(pins)


def digits(version):
    """Return a version as numbers: 3.9 and 3.9.0 are the same."""
    numbers = [int(part) for part in version.split(".")]
    while numbers[-1:] == [0]:
        numbers.pop()
    return numbers


def test_the_lowest_versions_are_the_bounds_of_pyproject():
    bounds, tested = lower_bounds(), lowest_versions()
    assert set(tested) == set(bounds)
    for name, version in tested.items():
        assert digits(version) == digits(bounds[name]), name


def test_the_run_at_the_lowest_versions_installs_them():
    script = (ROOT / ".ci" / "run").read_text("utf-8")
    assert 'step "lowest versions" lowest_versions' in script
    assert "-c .ci/lowest.txt" in script
