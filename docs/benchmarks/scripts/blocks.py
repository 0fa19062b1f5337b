"""What do blocks of a large image cost, and how do they grow with the workers?

    python docs/benchmarks/scripts/blocks.py [--side 4000] [--rounds 3] [--quick]
    python docs/benchmarks/scripts/blocks.py --table

The default network labels one image in zarr: `predict` on the whole image beside
`predict_to_zarr` in the same process, in turn, in processor time; then workers of dask
with one thread each, one beside two, in seconds of the clock, which is only worth
something on a quiet machine: the load is noted. Results are kept in blocks.jsonl.
"""

from __future__ import annotations

import argparse
import os
import statistics
import tempfile
import time
from pathlib import Path
from typing import Any

import dask
import distributed
import numpy as np
import torch
import zarr
from lib.peak import in_new_process, peak_mebibytes
from lib.shared import RECORDS, Record, markdown_table, where_and_when

from sksegment import FCNSegmenter
from sksegment.blocks import predict_to_zarr
from sksegment.datasets import make_shapes

RECORD = RECORDS / "blocks.jsonl"
BLOCKS = (256, 512, 1024, 2048)
# What dask's scheduler and the client take for a task of this kind, in seconds.
TASK = 0.002
WORKERS = 1000


def fitted() -> FCNSegmenter:
    X, y = make_shapes(n_samples=8, size=64, n_classes=4, random_state=0)
    return FCNSegmenter(max_epochs=2, random_state=0, device="cpu").fit(X, y)


def make_image(folder: Path, side: int) -> Path:
    X, _ = make_shapes(n_samples=1, size=250, random_state=1)
    tiles = (side // 250 + 1, side // 250 + 1, 1)
    pixels = np.tile(X[0].astype(np.float32), tiles)[:side, :side]
    path = folder / "image.zarr"
    chunks = (512, 512, pixels.shape[2])
    array = zarr.create_array(path, shape=pixels.shape, chunks=chunks, dtype="f4")
    array[:] = pixels
    return path


def processor_seconds(function: Any, *arguments: Any, **options: Any) -> float:
    start = time.process_time()
    function(*arguments, **options)
    return time.process_time() - start


def overhead(block: int, side: int, n_rounds: int) -> dict[str, Any]:
    """Compare one process that predicts the whole image with one that does blocks."""
    torch.set_num_threads(1)
    segmenter = fitted()
    with tempfile.TemporaryDirectory() as name, dask.config.set(scheduler="sync"):
        path = make_image(Path(name), side)
        whole = zarr.open_array(path, mode="r")
        # The first prediction measures the network.
        expected = segmenter.predict([whole[:]])[0]
        ours, theirs = [], []
        for number in range(n_rounds):
            store = Path(name) / f"{number}.zarr"
            theirs.append(processor_seconds(lambda: segmenter.predict([whole[:]])))
            ours.append(
                processor_seconds(
                    predict_to_zarr, segmenter, path, store, block_size=block
                )
            )
        wrong = int((zarr.open_array(store, mode="r")[:] != expected).sum())
    n_blocks = -(-side // block)
    ratios = [own / peer for own, peer in zip(ours, theirs, strict=True)]
    return {
        "ratio": statistics.median(ratios),
        "low": min(ratios),
        "high": max(ratios),
        "seconds_a_block": statistics.median(ours) / n_blocks**2,
        "wrong_pixels": wrong,
    }


def _prepare() -> None:
    torch.set_num_threads(1)


def workers(n_workers: int, block: int, side: int) -> dict[str, Any]:
    """Time the whole image on workers of one thread, and what each of them held."""
    segmenter = fitted()
    with (
        tempfile.TemporaryDirectory() as name,
        distributed.LocalCluster(
            n_workers=n_workers,
            threads_per_worker=1,
            dashboard_address=None,
            memory_limit=0,
        ) as cluster,
        distributed.Client(cluster) as client,
    ):
        path = make_image(Path(name), side)
        client.run(_prepare)
        predict_to_zarr(segmenter, path, Path(name) / "first.zarr", block_size=block)
        start = time.perf_counter()
        predict_to_zarr(segmenter, path, Path(name) / "labels.zarr", block_size=block)
        seconds = time.perf_counter() - start
        peaks = client.run(peak_mebibytes).values()
    return {"seconds": seconds, "peak": max(peaks), "load": os.getloadavg()[0]}


def page(rows: list[dict[str, Any]], source: str) -> str:
    cost = [row for row in rows if row["task"]["what"] == "overhead"]
    scale = [row for row in rows if row["task"]["what"] == "workers"]
    costs = []
    for row in sorted(cost, key=lambda row: row["task"]["block"]):
        result = row["result"]
        busy = result["seconds_a_block"] / TASK
        needed = 1 / (TASK * WORKERS) * result["seconds_a_block"]
        spread = f"{result['ratio']:.2f} [{result['low']:.2f}, {result['high']:.2f}]"
        share = f"{min(1.0, needed):.0%}"
        costs.append(
            [
                f"{row['task']['block']}",
                spread,
                f"{result['wrong_pixels']}",
                f"{result['seconds_a_block']:.2f}",
                f"{busy:.0f}",
                share,
            ]
        )
    times = [
        [
            f"{row['task']['workers']}",
            f"{row['task']['block']}",
            f"{row['task']['side']}",
            f"{row['result']['seconds']:.1f}",
            f"{row['result']['peak']:.0f}",
            f"{row['result']['load']:.1f}",
        ]
        for row in scale
    ]
    cost_header = [
        "block size",
        "processor time, of that of `predict`",
        "wrong pixels",
        "seconds a block",
        "workers that one scheduler keeps busy",
        f"of {WORKERS:,} workers busy",
    ]
    time_header = [
        "workers",
        "block size",
        "side",
        "seconds",
        "MiB in a worker, at most",
        "load before",
    ]
    side = rows[0]["task"]["side"]
    measured = "Not measured: there was no quiet machine."
    if times:
        measured = (
            "Workers of one thread each, the second run. The clock counts here, and "
            "what\nelse ran on the machine: see the load.\n\n"
            + markdown_table(time_header, times)
            + "\n\nThe aim was less than 600 MiB in a worker."
        )
    return f"""# Blocks of a large image

Made by `python docs/benchmarks/scripts/blocks.py --table` from [the record]({source}).
{where_and_when(rows)}

## What blocks cost

One image of {side} x {side} pixels in zarr, the default network, one thread.
`predict_to_zarr` reads windows, compresses and writes, and computes the margin of
52 pixels around each block again; `predict` gets the image in memory, and tiles it.
Medians of rounds in turn, with the least and the most.

{markdown_table(cost_header, costs)}

A task costs dask about {1000 * TASK:.0f} ms of its scheduler and client, one after the
other, so one scheduler keeps as many workers busy as a block takes times that. The last
two columns are calculated, not measured. Each task is about 2.4 KB in the scheduler.

## One worker and two

{measured}
"""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--side", type=int, default=4000)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--quick", action="store_true")
    parser.add_argument("--table", action="store_true")
    arguments = parser.parse_args()
    record = Record(RECORD)
    if arguments.table:
        record.write_page(page)
        return
    side, n_rounds = arguments.side, arguments.rounds
    if arguments.quick:
        side, n_rounds = 600, 1
    for block in BLOCKS:
        task = {"what": "overhead", "block": block, "side": side}
        if record.find(task) is None:
            record.add(task, in_new_process(overhead, block, side, n_rounds))
            print(task, record.find(task), flush=True)
    for n_workers, block in ((1, 1024), (2, 1024), (1, 512)):
        task = {"what": "workers", "workers": n_workers, "block": block, "side": side}
        if record.find(task) is None:
            record.add(task, workers(n_workers, block, side))
            print(task, record.find(task), flush=True)


if __name__ == "__main__":
    main()
