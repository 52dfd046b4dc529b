"""The command line's entry: `espalier …` or `python -m pipelines …`; errors become exit codes."""

from __future__ import annotations

import gc
import os
import sys
from collections.abc import Sequence

from cluster.errors import EspalierError


def main(arguments: Sequence[str] | None = None) -> None:
    """Run the command line: 0 done, 2 the request is wrong, 3 a step failed, 4 the cluster cannot, 130 stopped."""
    asked = sys.argv[1:] if arguments is None else list(arguments)
    # To look for plugins, pydantic would read the metadata of every installed package: a fifth of `espalier validate`.
    os.environ.setdefault("PYDANTIC_DISABLE_PLUGINS", "__all__")
    gc.disable()  # importing makes next to no garbage, and much to look through for it
    from pipelines.commands import application

    app = application(asked)
    gc.freeze()
    gc.enable()
    try:
        app(asked, prog_name="espalier")
    except EspalierError as error:
        print(f"error: {error}", file=sys.stderr)
        sys.exit(error.exit_code)
    except OSError as error:
        if error.filename is None:
            raise
        print(f"error: {error.filename}: {error.strerror}", file=sys.stderr)
        sys.exit(2)


if __name__ == "__main__":
    main()
