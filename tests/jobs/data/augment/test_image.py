"""Each augmentation of images against a slow and obvious way to do the same."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from PIL import Image, ImageEnhance, ImageOps

from jobs.data.augment import Augment, SpecialTokens
from jobs.data.augment.augment import Fill
from jobs.data.augment.draws import Draws
from jobs.data.augment.image import colour
from jobs.data.augment.image.operations import OPERATIONS
from jobs.data.augment.image.warp import affine, shift, warp

ROWS = 40
X = np.random.default_rng(2).integers(0, 256, (ROWS, 9, 9, 3)).astype(np.float32)
PARTNER = X[::-1].copy()
DRAWS = Draws(0, "0/it", 3, np.arange(ROWS))


def made(x: Any = X, **fields: Any) -> Any:
    return Augment.choose(fields).apply(x, DRAWS, SpecialTokens())


def each(value: float, rows: int = ROWS) -> Any:
    return np.full(rows, value, np.float32)


def test_flip_mirrors_with_its_probability() -> None:
    np.testing.assert_array_equal(made(kind="flip", horizontal=1), np.flip(X, 2))
    np.testing.assert_array_equal(made(kind="flip", horizontal=0, vertical=1), np.flip(X, 1))
    mirrored = [(row == np.flip(source, 1)).all() for row, source in zip(made(kind="flip"), X, strict=True)]
    assert 12 <= sum(mirrored) <= 28


@pytest.mark.parametrize(("fill", "mode"), [("reflect", "reflect"), ("edge", "edge"), ("black", "constant")])
def test_crop_cuts_a_window_out_of_the_padded_image(fill: str, mode: Any) -> None:
    found = made(kind="crop", padding=2, fill=fill)
    padded = np.pad(X, ((0, 0), (2, 2), (2, 2), (0, 0)), mode=mode)
    places = set()
    for row, source in zip(found, padded, strict=True):
        windows = {(y, x): source[y : y + 9, x : x + 9] for y in range(5) for x in range(5)}
        (place,) = [place for place, window in windows.items() if (window == row).all()]
        places.add(place)
    assert len(places) > 15  # of 25


def test_translate_moves_by_whole_pixels_within_its_shares() -> None:
    found = made(kind="translate", height=0.25, width=0.0, fill="black")
    moved = set()
    for row, source in zip(found, X, strict=True):
        by = next(
            n for n in range(-2, 3) if (row[max(n, 0) : 9 + min(n, 0)] == source[max(-n, 0) : 9 - max(n, 0)]).all()
        )
        assert not row[:by].any() if by > 0 else not row[9 + by :].any() or by == 0
        moved.add(by)
    assert moved == {-2, -1, 0, 1, 2}


@pytest.mark.parametrize("quarters", [1, 2, 3])
def test_a_quarter_turn_is_against_the_clock(quarters: int) -> None:
    turned = warp(X, affine(ROWS, turn=each(np.pi / 2 * quarters)), "black")
    np.testing.assert_allclose(turned, np.rot90(X, quarters, (1, 2)), atol=0.05)


def test_rotate_draws_its_angles_between_its_bounds() -> None:
    dot = np.zeros((ROWS, 41, 41, 1), np.float32)
    dot[:, 20, 38:41] = 255
    found = made(dot, kind="rotate", degrees=30, fill="black")
    y, x = (np.arange(41) - 20)[:, None], np.arange(41) - 20
    mass = found[..., 0].sum((1, 2))
    angles = np.rad2deg(np.arctan2(-(found[..., 0] * y).sum((1, 2)) / mass, (found[..., 0] * x).sum((1, 2)) / mass))
    assert np.abs(angles).max() <= 30.5
    assert angles.min() < -20
    assert angles.max() > 20


@pytest.mark.parametrize(("fill", "outside"), [("black", 0.0), ("grey", 127.5), ("edge", 200.0), ("reflect", 200.0)])
def test_zoom_out_shows_the_fill_around_the_image(fill: str, outside: float) -> None:
    plain = np.full((ROWS, 9, 9, 3), 200, np.float32)
    found = made(plain, kind="zoom", low=0.5, high=0.5, fill=fill)
    assert (found[:, 3:6, 3:6] == 200).all()
    assert (found[:, 0] == outside).all()


def test_a_warp_samples_bilinearly() -> None:
    """Against a loop over pixels."""
    matrix = affine(2, turn=each(0.3, 2), enlarge=each(1.3, 2), shear=(0.1, -0.2), move=(0.7, -1.6))
    found = warp(X[:2], matrix, "black")
    padded = np.pad(X[:2], ((0, 0), (20, 20), (20, 20), (0, 0)))
    for row, y, x in np.ndindex(2, 9, 9):
        v, u = matrix[row].astype(np.float64) @ [y - 4, x - 4, 1] + 4 + 20
        top, left = int(np.floor(v)), int(np.floor(u))
        a, b = v - top, u - left
        square = padded[row, top : top + 2, left : left + 2]
        wanted = (1 - a) * ((1 - b) * square[0, 0] + b * square[0, 1]) + a * ((1 - b) * square[1, 0] + b * square[1, 1])
        np.testing.assert_allclose(found[row, y, x], wanted, atol=0.01)


def test_a_warp_mirrors_as_a_shift_does() -> None:
    down, right = np.full(ROWS, 3), np.full(ROWS, -4)
    fills: tuple[Fill, ...] = ("reflect", "edge", "black", "grey")
    for fill in fills:
        moved = warp(X, affine(ROWS, move=(each(3), each(-4))), fill)
        np.testing.assert_array_equal(moved, shift(X, down, right, fill))


def test_cutout_covers_one_square_and_less_only_at_the_border() -> None:
    white = np.full((400, 12, 12, 1), 255, np.float32)
    found = Augment.choose({"kind": "cutout", "size": 4, "fill": "black"}).apply(
        white, Draws(0, "0/it", 0, np.arange(400)), SpecialTokens()
    )
    sizes = set()
    for row in found[..., 0] == 0:
        height, width = int(row.any(1).sum()), int(row.any(0).sum())
        assert row.sum() == height * width  # one whole box
        sizes |= {height, width}
    assert sizes == {2, 3, 4}  # the centre is always inside
    assert ((found == 0).sum((1, 2, 3)) == 16).mean() == pytest.approx((9 / 12) ** 2, abs=0.08)
    assert set(np.unique(made(kind="cutout", size=9, fill="grey")[0])) <= {127.5, *X[0].ravel()}


def test_mixup_is_linear_in_images_and_its_shares_follow_beta() -> None:
    mixed, share = Augment.choose({"kind": "mixup", "alpha": 1.0}).mix(X, PARTNER, DRAWS)
    for row in range(ROWS):
        np.testing.assert_allclose(mixed[row], share[row] * X[row] + (1 - share[row]) * PARTNER[row], atol=1e-3)
    drawn = DRAWS.beta("share", 1.0)
    np.testing.assert_allclose(share, drawn, atol=1e-6)
    _, half = Augment.choose({"kind": "mixup", "probability": 0.5}).mix(X, PARTNER, DRAWS)
    assert 10 <= (half == 1).sum() <= 30


def test_cutmix_puts_in_one_box_and_weighs_by_its_area() -> None:
    own, other = np.zeros((ROWS, 10, 10, 1), np.float32), np.full((ROWS, 10, 10, 1), 255, np.float32)
    mixed, share = Augment.choose({"kind": "cutmix"}).mix(own, other, DRAWS)
    for row, weight in zip(mixed[..., 0] == 255, share, strict=True):
        assert row.sum() == row.any(1).sum() * row.any(0).sum()
        assert weight == pytest.approx(1 - row.sum() / 100, abs=1e-6)
    assert len(set(share.tolist())) > 10


PILLOW: dict[str, tuple[Callable[[Any], Any], Callable[[Any], Any]]] = {
    "brightness": (lambda i: ImageEnhance.Brightness(i).enhance(1.4), lambda x: colour.brightness(x, each(1.4, 3))),
    "contrast": (lambda i: ImageEnhance.Contrast(i).enhance(0.6), lambda x: colour.contrast(x, each(0.6, 3))),
    "saturation": (lambda i: ImageEnhance.Color(i).enhance(1.7), lambda x: colour.saturation(x, each(1.7, 3))),
    "sharpness": (lambda i: ImageEnhance.Sharpness(i).enhance(1.9), lambda x: colour.sharpness(x, each(1.9, 3))),
    "autocontrast": (ImageOps.autocontrast, colour.autocontrast),
    "equalize": (ImageOps.equalize, colour.equalize),
    "solarize": (lambda i: ImageOps.solarize(i, 100), lambda x: colour.solarize(x, each(100, 3))),
    "posterize": (lambda i: ImageOps.posterize(i, 5), lambda x: colour.posterize(x, np.full(3, 5))),
}


@pytest.mark.parametrize("name", sorted(PILLOW))
def test_colours_change_as_pillow_changes_them(name: str) -> None:
    pillow, ours = PILLOW[name]
    photos = np.random.default_rng(0).integers(20, 230, (3, 24, 20, 3))
    photos = (photos + np.linspace(-20, 25, 20)[:, None]).astype(np.uint8)
    found = ours(photos.astype(np.float32))
    for row, photo in zip(found, photos, strict=True):
        wanted = np.asarray(pillow(Image.fromarray(photo)), np.float32)
        exact = name in ("equalize", "solarize", "posterize")
        np.testing.assert_allclose(row, wanted, atol=0 if exact else 1.9)  # Pillow rounds on its way


def test_hue_keeps_brightness_and_a_whole_turn_is_none() -> None:
    mild = X * 0.2 + 100  # nothing is cut off at 0 or 255
    turned = colour.hue(mild, each(0.3))
    np.testing.assert_allclose(colour.luma(turned), colour.luma(mild), atol=0.1)
    assert np.abs(turned - mild).max() > 10
    np.testing.assert_allclose(colour.hue(mild, each(1.0)), mild, atol=0.01)


def test_rand_augment_goes_through_every_operation_and_no_other() -> None:
    """One operation a row: each row is what one of the fourteen makes of it, and all of them occur."""
    rows = 200
    x = np.random.default_rng(2).integers(0, 256, (rows, 9, 9, 3)).astype(np.float32)
    chosen = Augment.choose({"kind": "rand_augment", "operations": 1, "magnitude": 4})
    found = chosen.apply(x, Draws(0, "0/it", 3, np.arange(rows)), SpecialTokens())
    results = {
        (name, sign): op(x, each(0.4 * sign, rows), "grey") for name, op in OPERATIONS.items() for sign in (1, -1)
    }
    seen = set()
    for row in range(rows):
        names = {key for key, result in results.items() if (result[row] == found[row]).all()}
        assert names
        seen |= {name for name, _ in names}
    assert seen == set(OPERATIONS)


def test_saturation_and_hue_leave_grey_images_alone() -> None:
    grey = X[..., :1]
    found = made(grey, kind="colour_jitter", brightness=0, contrast=0, saturation=1, hue=0.5)
    np.testing.assert_array_equal(found, grey)
