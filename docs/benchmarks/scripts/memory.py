"""How much memory does fit take at its peak, beside others?

The largest resident memory of a process that imports what it needs and trains for three
steps of 8 images of 128x128 at width 64; a process for each row.
"""

from __future__ import annotations

from collections.abc import Iterator

from lib.peak import in_new_process, peak_mebibytes
from lib.peers import KERAS, PeerError, how_to_bring, keras_worker
from lib.rows import Row, missing_row
from lib.script import Options, run_script

NAIVE = "PyTorch, loop of the tutorials"
N_CLASSES = 4
# Ours over theirs.
AIMS = {NAIVE: 0.85} | dict.fromkeys(KERAS, 0.6)


def rows(options: Options) -> Iterator[Row]:
    width, size, n_images = (2, 16, 8) if options.quick else (64, 128, 24)
    question = f"peak memory of fit, width {width}, {size}x{size}"
    case = (width, size, n_images)
    ours = in_new_process(peak_of_fit, *case)
    theirs = in_new_process(peak_of_naive_loop, *case)
    yield share_row(question, NAIVE, ours, theirs)
    for peer in KERAS:
        if peer not in options.peers:
            yield missing_row(question, peer, how_to_bring(peer))
            continue
        try:
            theirs = peak_of_keras(peer, options.peers[peer], *case)
            yield share_row(question, peer, ours, theirs)
        except PeerError as error:
            yield missing_row(question, peer, str(error))


def peak_of_keras(
    peer: str, python: str, width: int, size: int, n_images: int
) -> float:
    with keras_worker(peer, python, width, size, n_images, N_CLASSES) as worker:
        return float(worker.work()["peak"])


def share_row(question: str, peer: str, ours: float, theirs: float) -> Row:
    return Row(
        question,
        peer,
        ours / theirs,
        unit="of the peer's",
        ours=f"{ours:.0f} MiB",
        theirs=f"{theirs:.0f} MiB",
        aim=AIMS[peer],
        better="lower",
    )


def peak_of_fit(width: int, size: int, n_images: int) -> float:
    from lib.segmenter import plain_segmenter, shapes

    X, y = shapes(n_images, size)
    plain_segmenter(width, device="cpu", max_epochs=1).fit(X, y)
    return peak_mebibytes()


def peak_of_naive_loop(width: int, size: int, n_images: int) -> float:
    # Without scikit-learn and all else that its user does not need.
    from lib.noise import random_images
    from lib.plain_torch import as_tensors, naive_epoch, plain_network

    X, y = random_images(n_images, size, N_CLASSES)
    network = plain_network(X.shape[-1], N_CLASSES, width)
    naive_epoch(network, *as_tensors(X, y))()
    return peak_mebibytes()


if __name__ == "__main__":
    run_script(__doc__, rows)
