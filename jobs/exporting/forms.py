"""What is told of a model's files: layers left out of them, forms they were chosen among, and those beside them."""

from __future__ import annotations

from jobs.spec import Spec


class Skipped(Spec):
    """A layer that a technique left out, and why."""

    layer: str
    why: str


class StoredLayer(Spec):
    """A kernel or embedding as the served file stores it."""

    layer: str
    type: str  # float32, int8, …
    bits: int  # of a weight
    weights: int
    zeros: float  # share of the weights
    values: int  # different ones


class Variant(Spec):
    """A model's file in one form, as measured on the host that made it, one thread, one row at a time."""

    name: str
    accuracy: float  # on `rows` validation rows
    agreement: float  # share of them in which it answers as the first variant does
    rows: int
    size_bytes: int
    gzip_bytes: int
    p50_ms: float
    p99_ms: float
    chosen: bool = False


class Export(Spec):
    """A file, or folder, beside the served one that holds the same model, not quantized; it was run on `rows` rows."""

    form: str
    path: str
    rows: int
    difference: float  # the largest, between its logits and the model's
    warning: str = ""
