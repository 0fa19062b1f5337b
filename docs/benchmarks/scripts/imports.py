"""What does a worker process pay that only needs the metrics?

A new interpreter that imports `sksegment.metrics` against one that imports numpy.
"""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from statistics import median

from lib.rows import Row
from lib.script import Options, run_script
from lib.timing import Contestant, alternated, format_seconds, timed

AIM = 0.1
MODULES = ("numpy", "sksegment.metrics", "sklearn", "sksegment", "torch")


def rows(options: Options) -> Iterator[Row]:
    modules = MODULES[:2] if options.quick else MODULES
    contestants = {module: importing(module) for module in modules}
    seconds = alternated(contestants, 1 if options.quick else 9)
    for module in modules[1:]:
        ours, theirs = seconds[module], seconds["numpy"]
        extra = [a - b for a, b in zip(ours, theirs, strict=True)]
        yield Row(
            f"import {module}: how much longer?",
            "import numpy",
            median(extra),
            min(extra),
            max(extra),
            unit="s",
            ours=format_seconds(ours),
            theirs=format_seconds(theirs),
            aim=AIM if module == "sksegment.metrics" else None,
            better="lower",
            note="" if module.startswith("sksegment") else "to compare",
        )


def importing(module: str) -> Contestant:
    command = [sys.executable, "-c", f"import {module}"]
    return timed(lambda: subprocess.run(command, check=True))


if __name__ == "__main__":
    run_script(__doc__, rows)
