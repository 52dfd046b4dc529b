"""`espalier schema`: the JSON Schema of definitions, for editors."""

from __future__ import annotations

from pipelines.commands.app import app, example
from pipelines.schema import schema_text


@app.command(epilog=example("espalier schema > pipelines/definitions/pipeline.schema.json"))
def schema() -> None:
    """Print the JSON Schema of definitions."""
    print(schema_text(), end="")
