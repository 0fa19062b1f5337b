"""How much faster than `model.fit` of Keras does FCNSegmenter.fit train?

The same layers, images of the same size, batches of 8, Adam. Keras runs in a process of
its own, one for each backend, that trains for an epoch after each of ours.
"""

from __future__ import annotations

from collections.abc import Iterator

from lib.peers import KERAS, PeerError, how_to_bring, keras_worker
from lib.rows import Row, missing_row, ratio_row
from lib.script import Options, run_script
from lib.segmenter import N_CHANNELS, N_CLASSES, fit_in_turns, plain_segmenter, shapes

from sksegment.networks import FCN

# Width, side, images, rounds and aim.
CASES = ((64, 128, 16, 4, 3.0), (16, 128, 32, 7, 3.0))
QUICK = ((2, 16, 8, 1, 3.0),)


def rows(options: Options) -> Iterator[Row]:
    for width, size, n_images, n_rounds, aim in QUICK if options.quick else CASES:
        for peer in KERAS:
            question = f"fit, width {width}, {size}x{size}"
            if peer not in options.peers:
                yield missing_row(question, peer, how_to_bring(peer))
                continue
            python, case = options.peers[peer], (width, size, n_images, n_rounds)
            try:
                yield against_keras(question, peer, python, *case, aim)
            except PeerError as error:
                yield missing_row(question, peer, str(error))


def against_keras(
    question: str,
    peer: str,
    python: str,
    width: int,
    size: int,
    n_images: int,
    n_rounds: int,
    aim: float,
) -> Row:
    X, y = shapes(n_images, size)
    with keras_worker(peer, python, width, size, n_images, N_CLASSES) as worker:
        check_same_size(worker.about["parameters"], width)
        peers = {peer: worker.seconds}
        ours, theirs = fit_in_turns(plain_segmenter(width), X, y, peers, n_rounds)
    name = f"{peer} {worker.about['version']}"
    return ratio_row(question, name, ours, theirs[peer], aim=aim)


def check_same_size(n_parameters: int, width: int) -> None:
    """Refuse to compare networks of different size."""
    network = FCN(N_CHANNELS, N_CLASSES, width=width)
    own = sum(parameter.numel() for parameter in network.parameters())
    if own != n_parameters:
        raise AssertionError(f"{n_parameters} parameters in Keras, {own} in ours.")


if __name__ == "__main__":
    run_script(__doc__, rows)
