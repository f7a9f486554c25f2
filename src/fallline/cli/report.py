"""`fallline report`: the page of a race that a storage holds."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from fallline.cli.fail import fail
from fallline.cli.races import Given, Named, storage_of


def report(
    given: Given = None,
    named: Named = None,
    race: Annotated[
        str | None,
        typer.Option(help="Which race, as `fallline races` names it. Default: the last one.", show_default=False),
    ] = None,
    output: Annotated[Path, typer.Option(help="Write the page to this file.")] = Path("race.html"),
) -> None:
    """Write the report of a finished race: one page that needs no network."""
    from fallline.pages.report import write_report
    from fallline.racing.storage.past import kept_result

    storage = storage_of(given, named)
    try:
        write_report(kept_result(storage, race), output)
    except LookupError as error:
        fail(str(error.args[0]))
    except (ValueError, OSError, ImportError) as error:
        fail(str(error))
    print(f"The report is written to {output.resolve()}.")
