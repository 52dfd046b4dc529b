"""The command line's entry: `espalier …` or `python -m pipelines …`; errors become exit codes."""

from __future__ import annotations

import gc
import os
import sys
from collections.abc import Sequence

from cluster.errors import EspalierError


def entry() -> None:
    """Run the command line for this process, and end it."""
    try:
        main()
    except SystemExit as end:
        if "ray" in sys.modules or not isinstance(end.code, int):
            raise
        sys.stdout.flush()
        sys.stderr.flush()
        # To take down what was imported takes a twentieth of a cached run, and the process's end frees it all.
        os._exit(end.code)


def main(arguments: Sequence[str] | None = None) -> None:
    """Run the command line: 0 done, 2 the request is wrong, 3 a step failed, 4 the cluster cannot, 130 stopped."""
    asked = sys.argv[1:] if arguments is None else list(arguments)
    # To look for plugins, pydantic would read the metadata of every installed package: a fifth of `espalier validate`.
    os.environ.setdefault("PYDANTIC_DISABLE_PLUGINS", "__all__")
    gc.disable()  # importing makes next to no garbage and much to look through; what runs for long turns it on again
    from pipelines.commands import application

    app = application(asked)
    gc.freeze()
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
    finally:
        gc.enable()


if __name__ == "__main__":
    entry()
