"""Augmentations, one file each, by what they change. A new one is one file and one line here."""

from jobs.data.augment.augment import Augment, SpecialTokens, problems

__all__ = ["Augment", "SpecialTokens", "problems"]

Augment.found_in(
    {
        "colour_jitter": "jobs.data.augment.image.colour_jitter",
        "crop": "jobs.data.augment.image.crop",
        "cutmix": "jobs.data.augment.image.cutmix",
        "cutout": "jobs.data.augment.image.cutout",
        "flip": "jobs.data.augment.image.flip",
        "mixup": "jobs.data.augment.image.mixup",
        "rand_augment": "jobs.data.augment.image.rand_augment",
        "rotate": "jobs.data.augment.image.rotate",
        "translate": "jobs.data.augment.image.translate",
        "zoom": "jobs.data.augment.image.zoom",
        "random_deletion": "jobs.data.augment.text.random_deletion",
        "token_dropout": "jobs.data.augment.text.token_dropout",
        "word_swap": "jobs.data.augment.text.word_swap",
    }
)
