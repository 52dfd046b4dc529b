"""What `prune` promises of kernels, and by how much it may be missed."""

from __future__ import annotations

import numpy as np
import pytest

from jobs.techniques.prune import Prune

SIDE = 1000  # a kernel of a million weights


def kept(zeros: int) -> bool:
    """Say whether a kernel with so many zeros keeps a promise of 700,000."""
    kernel = np.ones(SIDE * SIDE, np.float32)
    kernel[:zeros] = 0
    (finding,) = Prune(epochs=1, sparsity=0.7).promise({}, {"head/kernel": kernel.reshape(SIDE, SIDE)}, None)
    return finding.kept


@pytest.mark.parametrize("zeros", [700_000, 699_995])
def test_weights_as_large_as_the_last_that_is_kept_do_not_break_the_promise(zeros: int) -> None:
    assert kept(zeros)


def test_a_share_of_zeros_below_what_was_promised_breaks_it() -> None:
    assert not kept(699_900)


def test_a_small_kernel_may_miss_one_weight_and_not_two() -> None:
    for short, wanted in ((1, True), (2, False)):
        kernel = np.ones(100, np.float32)
        kernel[: 70 - short] = 0
        (finding,) = Prune(epochs=1, sparsity=0.7).promise({}, {"head/kernel": kernel.reshape(10, 10)}, None)
        assert finding.kept is wanted
