"""What the shell offers when the tab key is pressed amid a command."""

from __future__ import annotations

from pathlib import Path

import typer


def steps(context: typer.Context, incomplete: str) -> list[str]:
    """Return the steps of the definition already on the line that begin so; none while that cannot be read."""
    import yaml

    try:
        read = yaml.safe_load(Path(context.params["definition"]).expanduser().read_text())
        return [name for name in read["steps"] if name.startswith(incomplete)]
    except (OSError, yaml.YAMLError, KeyError, TypeError, AttributeError, UnicodeDecodeError):
        return []
