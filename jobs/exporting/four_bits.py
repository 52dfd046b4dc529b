"""Four-bit weights, which the converter has not: by ai-edge-quantizer, on the float file."""

from __future__ import annotations

from collections.abc import Iterable


def four_bits(file: bytes, operators: Iterable[str]) -> bytes:
    """Return a float LiteRT file with int4 weights in `operators`, int8 in others that have such; a scale a channel.

    Activations stay float32 in the file, and are rounded while an operator runs.
    """
    from ai_edge_quantizer import qtyping, quantizer, recipe_manager

    recipe = recipe_manager.RecipeManager()
    names = qtyping.TFLOperationName
    recipe.add_dynamic_config(regex=".*", operation_name=names.ALL_SUPPORTED, num_bits=8)
    for name in operators:
        recipe.add_dynamic_config(regex=".*", operation_name=names[name], num_bits=4)
    made = quantizer.Quantizer(file, recipe.get_quantization_recipe()).quantize(
        enable_progress_bar=False, enable_progress_report=False
    )
    return bytes(made.quantized_model)
