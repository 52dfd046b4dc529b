"""`espalier validate`: whether a definition is right, without starting anything."""

from __future__ import annotations

from pipelines.commands.app import Definition, Sets, app, example, loaded


@app.command(epilog=example("espalier validate pipelines/definitions/quickstart.yaml --set sparsity=0.6"))
def validate(definition: Definition, sets: Sets = None) -> None:
    """Check a definition without starting anything: fields, bounds, references, artifact types, legality of chains."""
    pipeline = loaded(definition, sets, warns=True)
    print(f"{definition}: {pipeline.name} is valid, {len(pipeline.steps)} steps")
