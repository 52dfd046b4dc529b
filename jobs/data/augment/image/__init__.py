"""Augmentations of images, one file each. A new one is one file and one line here."""

from jobs.data.augment.image.colour_jitter import ColourJitter
from jobs.data.augment.image.crop import Crop
from jobs.data.augment.image.cutmix import Cutmix
from jobs.data.augment.image.cutout import Cutout
from jobs.data.augment.image.flip import Flip
from jobs.data.augment.image.mixup import Mixup
from jobs.data.augment.image.rand_augment import RandAugment
from jobs.data.augment.image.rotate import Rotate
from jobs.data.augment.image.translate import Translate
from jobs.data.augment.image.zoom import Zoom

__all__ = [
    "ColourJitter", "Crop", "Cutmix", "Cutout", "Flip", "Mixup", "RandAugment", "Rotate", "Translate", "Zoom",
]  # fmt: skip
