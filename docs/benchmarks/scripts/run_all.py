"""Run all benchmarks but the GPU's, one after the other, and write results.md.

    python docs/benchmarks/scripts/run_all.py --data DATA \\
        --peer keras-torch=PYTHON --peer keras-jax=PYTHON \\
        --peer keras-tensorflow=PYTHON

The interpreter that runs it needs sksegment with its extra `bench`; each PYTHON is one
that has Keras and the backend. Nothing else should run on the machine. With `--only`,
the other scripts keep the results that they had; those from the other kind of
processor, with or without bfloat16 in hardware, are always kept.
"""

from __future__ import annotations

import json
import shlex
import subprocess
import sys
import time
from argparse import ArgumentParser, RawDescriptionHelpFormatter
from collections.abc import Iterable, Sequence
from itertools import product
from pathlib import Path
from typing import Any

from lib.rows import Row, markdown_table
from lib.script import add_options, hardware

FOLDER = Path(__file__).resolve().parent
SCRIPTS = (
    "imports",
    "mean_iou",
    "boundary_scores",
    "augmentation",
    "overhead",
    "training",
    "prediction",
    "one_core",
    "onnx_prediction",
    "keras_fit",
    "memory",
    "grid_search",
    "growth",
    "bfloat16_labels",
)
HEAD = """# Benchmarks

One script a question; contestants take turns in one run. A result is the ratio of the
medians, in parentheses the lowest and the highest of the pairs that ran one after the
other. Times are medians, in brackets the best. More than 1 x is in favour of sksegment.
Rows in s, % and MiB are differences or shares; exponents are fitted to the medians,
those in parentheses to each round alone. The table of each script is followed by how
busy the machine was.

Unless a row says otherwise, sksegment trains at its default precision, which is
bfloat16 where the processor has it in hardware (each table says so), and Keras and the
loop of the tutorials in float32. The row with `precision='float32'` shows what is left
at equal precision.

DATA is a folder with the image sets `camvid` and `membrane`; each PYTHON is an
interpreter with Keras and its backend; ours has sksegment with the extra `bench`."""
KINDS = {True: "bfloat16 in hardware", False: "no bfloat16 in hardware"}
Record = dict[str, Any]
# A script, and whether the processor has bfloat16.
Key = tuple[str, bool]


def main() -> None:
    arguments = parsed_arguments()
    output: Path = arguments.output
    results = output.parent / "results" / f"{output.stem}.jsonl"
    results.parent.mkdir(exist_ok=True)
    scripts = arguments.only or SCRIPTS
    known = read_records(results) | run_scripts(scripts, arguments, results)
    records = [known[key] for key in product(SCRIPTS, KINDS) if key in known]
    write_records(results, records)
    output.write_text(page(records), encoding="utf-8")
    print(f"Written: {output}")


def command(arguments: Any) -> str:
    """Return the command as others would give it: where things lie is their own."""
    options = ["--quick"] if arguments.quick else []
    options += ["--data", "DATA"] if arguments.data else []
    for peer in arguments.peer:
        options += ["--peer", f"{peer.split('=')[0]}=PYTHON"]
    options += ["--only", *arguments.only] if arguments.only else []
    return shlex.join(["python", "docs/benchmarks/scripts/run_all.py", *options])


def parsed_arguments(words: Sequence[str] | None = None) -> Any:
    parser = ArgumentParser(
        description=__doc__, formatter_class=RawDescriptionHelpFormatter
    )
    add_options(parser)
    parser.add_argument("--only", nargs="+", choices=SCRIPTS, help="run these alone")
    parser.add_argument(
        "--output",
        type=Path,
        default=FOLDER.parent / "results.md",
        help="the page; its records lie in results/ beside it",
    )
    return parser.parse_args(words)


def run_scripts(
    scripts: Sequence[str], arguments: Any, results: Path
) -> dict[Key, Record]:
    """Run each script in a process of its own; one that fails leaves a record too."""
    records = {}
    for script in scripts:
        start = time.monotonic()
        record = record_of(script, arguments, results)
        record["command"] = command(arguments)
        records[key_of(record)] = record
        print(f"{script}: {time.monotonic() - start:.0f} s\n", flush=True)
    return records


def record_of(script: str, arguments: Any, results: Path) -> Record:
    output = results.with_name(f"{results.stem}.{script}.part")
    output.unlink(missing_ok=True)
    file = FOLDER / f"{script}.py"
    command = [sys.executable, str(file), *options_again(arguments)]
    process = subprocess.run([*command, "--output", str(output)], check=False)
    if process.returncode:
        failed = {"script": script, "failed": process.returncode, "rows": []}
        return {**failed, "hardware": hardware()}
    record: Record = json.loads(output.read_text(encoding="utf-8"))
    output.unlink()
    return record


def options_again(arguments: Any) -> list[str]:
    """Return the options as each script takes them."""
    options = ["--quick"] if arguments.quick else []
    if arguments.data:
        options += ["--data", str(arguments.data)]
    return options + [part for peer in arguments.peer for part in ("--peer", peer)]


def read_records(file: Path) -> dict[Key, Record]:
    if not file.exists():
        return {}
    records = map(json.loads, file.read_text(encoding="utf-8").splitlines())
    return {key_of(record): record for record in records}


def key_of(record: Record) -> Key:
    return record["script"], record["hardware"]["bfloat16"]


def write_records(file: Path, records: Iterable[Record]) -> None:
    lines = (json.dumps(record) + "\n" for record in records)
    file.write_text("".join(lines), encoding="utf-8")


def page(records: Sequence[Record]) -> str:
    """Return the page: what ran where, where we lose, and the tables of each script."""
    # Others keep the results that they had: each has a command of its own.
    commands = "\n".join(dict.fromkeys(record["command"] for record in records))
    parts = [
        HEAD,
        f"```console\n{commands}\n```",
        *where_and_when(records),
        "## Where we lose, or miss the aim",
        *(part for has_bfloat16 in KINDS for part in short_rows(records, has_bfloat16)),
        *side_by_side(records),
    ]
    failed = [record["script"] for record in records if "failed" in record]
    if failed:
        parts.append(f"Failed, and therefore not in the table: {', '.join(failed)}.")
    for script in dict.fromkeys(record["script"] for record in records):
        parts.append(f"## {script}.py")
        for record in records:
            parts += section(record) if record["script"] == script else []
    return "\n\n".join(parts) + "\n"


def short_rows(records: Iterable[Record], has_bfloat16: bool) -> list[str]:
    """Return the table of what falls short on one kind of processor."""
    ran = [record for record in records if key_of(record)[1] == has_bfloat16]
    rows = [row for record in ran for row in rows_of(record)]
    short = [row for row in rows if row.verdict.startswith("**")]
    if not ran:
        return []
    return [
        f"On a processor with {KINDS[has_bfloat16]}:",
        markdown_table(short) if short else "Nowhere.",
    ]


def side_by_side(records: Iterable[Record]) -> list[str]:
    """Return the table of the questions that were asked on both kinds of processor."""
    found: dict[tuple[str, str], dict[bool, Row]] = {}
    for record in records:
        for row in rows_of(record):
            found.setdefault((row.question, row.peer), {})[key_of(record)[1]] = row
    both = [rows for rows in found.values() if len(rows) == len(KINDS)]
    lines = [
        f"| {rows[True].question} | {rows[True].peer} | "
        f"{' | '.join(rows[kind].result() for kind in KINDS)} | {rows[True].bound()} |"
        for rows in both
    ]
    header = ["question", "peer", *KINDS.values(), "aim"]
    rule = "|---" * len(header) + "|"
    table = "\n".join([f"| {' | '.join(header)} |", rule, *lines])
    return ["## Both kinds of processor", table] if both else []


def rows_of(record: Record) -> list[Row]:
    return [Row(**row) for row in record["rows"]]


def where_and_when(records: Sequence[Record]) -> list[str]:
    """Say on what and when it ran; whatever is not the same for all scripts, for each.

    Results of other days and processors are kept.
    """
    done = [record for record in records if "failed" not in record]
    lines = []
    for name, write in (
        ("versions", lambda value: ", ".join(f"{k} {v}" for k, v in value.items())),
        ("hardware", hardware_line),
    ):
        for text in dict.fromkeys(write(record[name]) for record in done):
            lines.append(text + ".")
    dates = sorted(record["date"] for record in done)
    if dates:
        lines.append(f"From {dates[0]} to {dates[-1]}.")
    if any(record["quick"] for record in done):
        lines.append("**With `--quick`: this shows that it runs, not how fast.**")
    return lines


def hardware_line(hardware: dict[str, Any]) -> str:
    threads = hardware["OMP_NUM_THREADS"]
    suffix = "" if threads is None else f", OMP_NUM_THREADS={threads}"
    return (
        f"{hardware['processor']}, {hardware['cores']} cores{suffix}, "
        f"{hardware['memory']}, {hardware['system']}, "
        f"{KINDS[hardware['bfloat16']]}"
    )


def section(record: Record) -> list[str]:
    where = hardware_line(record["hardware"])
    if "failed" in record:
        return [f"{where}.", f"**Failed** with exit status {record['failed']}."]
    where = f"{where}; {record['date'][:10]}."
    return [where, markdown_table(rows_of(record)), load_line(record["load"])]


def load_line(load: dict[str, Any]) -> str:
    text = f"Load average {load['before']:.2f} before, {load['after']:.2f} after"
    if load["others"] is not None:
        text += f"; other processes took {load['others']:.0%} of the processor"
    quiet = "" if load["is_quiet"] else " **The machine was not quiet.**"
    return f"{text}.{quiet}"


if __name__ == "__main__":
    main()
