"""What `prune` promises of kernels, and by how much it may be missed."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from pydantic import ValidationError

from jobs.data.preprocess import ImagePixels
from jobs.techniques import Technique
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


def judged(kernel: np.ndarray, **fields: object) -> tuple[str, str, bool]:
    """Return what was promised and measured of a kernel, and whether it was kept."""
    (finding,) = Prune.model_validate(fields).promise({}, {"head/kernel": kernel}, None)
    return finding.promised, finding.measured, finding.kept


def test_two_of_four_is_counted_along_the_inputs_of_each_output() -> None:
    kernel = np.ones((3, 3, 8, 5), np.float32)
    kernel[:, :, [0, 3, 4, 5]] = 0
    assert judged(kernel, pattern="m_by_n") == ("<= 2", "2", True)
    kernel[1, 1, 3, 2] = 0.1
    assert judged(kernel, pattern="m_by_n") == ("<= 2", "3", False)
    assert judged(np.ones((2, 5), np.float32), pattern="m_by_n")[2]  # two inputs are no four
    assert judged(np.ones((3, 8, 5), np.float32), pattern="m_by_n") == (">= 1", "0", False)  # TFMOT knows none of these


def test_blocks_are_zero_as_wholes() -> None:
    kernel = np.ones((8, 10), np.float32)  # two by three blocks, the last ones of two columns
    kernel[:4] = 0
    assert judged(kernel, pattern="block", sparsity=0.5) == (">= 0.5", "0.5000", True)
    kernel[0, 0] = kernel[0, 4] = kernel[0, 9] = 1  # nearly as many zeros, in no block
    assert judged(kernel, pattern="block", sparsity=0.5) == (">= 0.5", "0.0000", False)


@pytest.mark.parametrize(
    ("fields", "reason"),
    [
        ({"pattern": "m_by_n", "m_by_n": [4, 4]}, "zeroes 4 of every 4 weights, and some must be left"),
        ({"block": [2, 2]}, "sets block, which only pattern: block has"),
        ({"pattern": "block", "m_by_n": [2, 4]}, "sets m_by_n, which only pattern: m_by_n has"),
        ({"pattern": "m_by_n", "ramp": "constant"}, "sets sparsity, ramp or reached, but m_by_n says how many"),
        ({"ramp": "constant", "reached": 0.5}, "sets reached, but a constant ramp is at its sparsity from the start"),
    ],
)
def test_a_pattern_and_what_belongs_to_another_are_refused(fields: dict[str, object], reason: str) -> None:
    with pytest.raises(ValidationError, match=reason):
        Prune.model_validate(fields)


@pytest.mark.parametrize("fields", [{"pattern": "m_by_n"}, {"pattern": "block", "block": [2, 2]}, {"sparsity": 0.7}])
def test_what_an_artifact_holds_is_read_again(fields: dict[str, Any]) -> None:
    chosen = Technique.choose({"kind": "prune"} | fields)
    written = chosen.model_dump(mode="json")
    assert Technique.choose(written) == chosen
    del written["reached"]  # as artifacts were written before there was one
    assert Technique.choose(written) == chosen


@pytest.mark.training
@pytest.mark.parametrize(("fields", "last"), [({}, 69), ({"reached": 0.4}, 39), ({"reached": 1.0}, 99)])
def test_masks_are_left_alone_once_the_sparsity_is_reached(fields: dict[str, Any], last: int) -> None:
    from jobs.models.model import ModelSpec, build
    from jobs.techniques.technique import Context
    from tests.rig import TINY

    model = build(ModelSpec.model_validate({"backbone": TINY}), ImagePixels(height=8, width=8, channels=1), 3)
    training = Prune.model_validate(fields).prepare(model, Context([], "image", 100))
    assert [step for step in range(100) if training.alone(step)][-1] == last
