"""`fallline lab`: the page on which optimizers walk over surfaces."""

from __future__ import annotations

from typing import Annotated

import typer

from fallline.cli.console import fail


def lab(
    port: Annotated[int, typer.Option(min=0, max=65535, help="Port to listen at; 0 takes any free one.")] = 8765,
    host: Annotated[
        str, typer.Option(help="Address to listen at. Any but this machine's own is guarded by a token in the link.")
    ] = "127.0.0.1",
    browser: Annotated[bool, typer.Option("--browser/--no-browser", help="Open the page in a browser.")] = True,
    storage: Annotated[
        str | None, typer.Option(help="SQLite file, or URL of a PostgreSQL database, whose races are to be seen live.")
    ] = None,
) -> None:
    """Open a local page: surfaces, optimizers, learning rates, and what becomes of them."""
    try:
        from fallline.lab.server import serve
    except ImportError as error:
        fail(f"the lab needs {error.name}; install it: pip install {error.name}")

    try:
        if storage is not None:
            _check(storage)
        serve(host, port, storage=storage, browser=browser, tell=_tell)
    except ValueError as error:
        fail(str(error))
    except OSError as error:
        fail(str(error), 1)


def _tell(link: str) -> None:
    print(f"The lab is at {link}\nCtrl-C stops it.", flush=True)


def _check(storage: str) -> None:
    """Raise ValueError, in a sentence, for what can't be a storage; a file may yet come, when a race begins."""
    from fallline.racing.storage import sqlite_file

    file = sqlite_file(storage)
    if file is not None and file.is_dir():
        raise ValueError(f"--storage {storage}: that is a folder; give the file that keeps the races")
    if file is not None and not file.resolve().parent.is_dir():
        raise ValueError(f"--storage {storage}: there is no folder {file.resolve().parent}")
