"""The command line that all benchmarks share, and the record that they leave."""

from __future__ import annotations

import json
import os
import platform
import sys
import warnings
from argparse import ArgumentParser, RawDescriptionHelpFormatter
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from lib.processor import LoadMeter
from lib.rows import Row, markdown_table

PACKAGES = (
    "torch",
    "skorch",
    "scikit-learn",
    "numpy",
    "scikit-image",
    "kornia",
    "torchmetrics",
    "monai",
    "onnxruntime",
)


@dataclass(frozen=True)
class Options:
    """What the user asked for.

    `quick` runs at sizes that show that a script works, and nothing about speed.
    `peers` are the interpreters of peers that live in environments of their own;
    `data` is a folder of real images; `device` is for those that run on others too.
    """

    quick: bool = False
    peers: dict[str, str] = field(default_factory=dict)
    data: Path | None = None
    device: str = "cpu"


Rows = Callable[[Options], Iterator[Row]]


def add_options(parser: ArgumentParser) -> None:
    parser.add_argument("--quick", action="store_true", help="tiny sizes: does it run?")
    parser.add_argument(
        "--peer",
        action="append",
        default=[],
        metavar="NAME=PYTHON",
        help="interpreter that has a peer, keras-torch=/path/to/python say",
    )
    parser.add_argument("--data", type=Path, help="folder with camvid or membrane")


def options_of(arguments: Any) -> Options:
    peers = dict(pair.split("=", 1) for pair in arguments.peer)
    device = getattr(arguments, "device", "cpu")
    return Options(arguments.quick, peers, arguments.data, device)


def run_script(description: str | None, rows: Rows, device: str | None = None) -> None:
    """Print the rows as a Markdown table; append a record of them to `--output`.

    With `device` it has an option of that name, of which this is the default.
    """
    parser = ArgumentParser(
        description=description, formatter_class=RawDescriptionHelpFormatter
    )
    add_options(parser)
    if device is not None:
        parser.add_argument("--device", default=device, help=f"default {device}")
    parser.add_argument("--output", type=Path, help="file of JSON lines to append to")
    arguments = parser.parse_args()
    record = measured(Path(sys.argv[0]).stem, rows, options_of(arguments))
    print(markdown_table(Row(**row) for row in record["rows"]), flush=True)
    if not record["load"]["is_quiet"]:
        print(f"The machine was not quiet: {record['load']}.")
    if arguments.output:
        with arguments.output.open("a", encoding="utf-8") as file:
            file.write(json.dumps(record) + "\n")


def measured(script: str, rows: Rows, options: Options) -> dict[str, Any]:
    """Run a benchmark; return its rows with all that is needed to judge them."""
    meter = LoadMeter()
    with warnings.catch_warnings():
        # Networks are trained for seconds here, and miss classes.
        warnings.filterwarnings("ignore", "In its last epoch the network predicted")
        found = [asdict(row) for row in rows(options)]
    return {
        "script": script,
        "rows": found,
        "quick": options.quick,
        "date": datetime.now(UTC).isoformat(timespec="seconds"),
        "load": meter.stop().record(),
        "versions": _versions(),
        "hardware": hardware(),
    }


def hardware() -> dict[str, Any]:
    import torch

    from sksegment._torch.precision import has_bfloat16

    return {
        "processor": processor_name(),
        "cores": os.cpu_count(),
        "OMP_NUM_THREADS": os.environ.get("OMP_NUM_THREADS"),
        "memory": f"{memory_bytes() / 2**30:.0f} GiB",
        "system": f"{platform.system()} {platform.machine()}",
        "bfloat16": has_bfloat16(torch.device("cpu")),
    }


def memory_bytes() -> int:
    return os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")


def processor_name() -> str:
    file = Path("/proc/cpuinfo")
    lines = file.read_text().splitlines() if file.exists() else []
    names = [line.split(":", 1)[1] for line in lines if line.startswith("model name")]
    return names[0].strip() if names else platform.processor()


def _versions() -> dict[str, str]:
    from sksegment import __version__

    found = {"Python": platform.python_version(), "sksegment": __version__}
    for name in PACKAGES:
        try:
            found[name] = version(name)
        except PackageNotFoundError:
            continue
    return found
