"""How the source is cut into files: their number and size, what they import, and circles among them.

    python tools/house.py [FOLDER]      by itself, of src/fallline; circles are those of the whole package

Lines of code are those that are no blank line, comment or docstring. The formulas in `rules/`, a few lines each, are
left out of the share of small files. Circles count every import: late ones, and those for types alone.
"""

from __future__ import annotations

import ast
import io
import statistics
import sys
import tokenize
from dataclasses import dataclass
from pathlib import Path

import grimp
import networkx

SMALL, LARGE = 60, 300
_NO_CODE = {tokenize.COMMENT, tokenize.NL, tokenize.NEWLINE, tokenize.INDENT, tokenize.DEDENT, tokenize.ENDMARKER}
_WITH_DOCSTRING = (ast.Module, ast.ClassDef, ast.FunctionDef, ast.AsyncFunctionDef)


@dataclass(frozen=True)
class File:
    """What is counted of one file."""

    path: Path
    lines: int
    code: int
    imports: int


def count(path: Path) -> File:
    """Count one file."""
    text = path.read_text("utf-8")
    nodes = list(ast.walk(ast.parse(text)))
    code: set[int] = set()
    for token in tokenize.generate_tokens(io.StringIO(text).readline):
        if token.type not in _NO_CODE:
            code.update(range(token.start[0], token.end[0] + 1))
    for node in nodes:
        if isinstance(node, _WITH_DOCSTRING) and ast.get_docstring(node) is not None:
            code.difference_update(range(node.body[0].lineno, (node.body[0].end_lineno or 0) + 1))
    imports = sum(isinstance(node, ast.Import | ast.ImportFrom) for node in nodes)
    return File(path, len(text.splitlines()), len(code), imports)


def circles(package: str = "fallline") -> list[list[str]]:
    """Return the sets of modules that import one another in a ring."""
    graph = grimp.build_graph(package, cache_dir=None)
    links = networkx.DiGraph(
        (importer, imported)
        for importer in graph.modules
        for imported in graph.find_modules_directly_imported_by(importer)
    )
    return [sorted(ring) for ring in networkx.strongly_connected_components(links) if len(ring) > 1]


def main() -> None:
    """Print the figures; fails where there is a circle."""
    folder = Path(sys.argv[1]) if len(sys.argv) > 1 else Path(__file__).parents[1] / "src" / "fallline"
    files = [count(path) for path in sorted(folder.rglob("*.py"))]
    lines, imports = sum(file.lines for file in files), sum(file.imports for file in files)
    rooms = [file for file in files if file.path.parent.name != "rules"]
    small = sum(file.lines <= SMALL for file in rooms) / len(rooms)
    print(f"{'files':32}{len(files):8,}")
    print(f"{'lines':32}{lines:8,}")
    print(f"{'lines of code':32}{sum(file.code for file in files):8,}")
    print(f"{'lines of a file, median':32}{statistics.median(file.lines for file in files):8g}")
    print(f"{f'files of at most {SMALL} lines':32}{small:8.1%}")
    print(f"{'import statements per 100 lines':32}{100 * imports / lines:8.2f}")
    large = sorted((file for file in files if file.lines > LARGE), key=lambda file: -file.lines)
    print(f"{f'files above {LARGE} lines':32}{len(large):8}")
    for file in large:
        print(f"    {file.lines} {file.path.relative_to(folder)}")
    rings = circles()
    print(f"{'circles of imports':32}{len(rings):8}")
    for ring in rings:
        print(f"    {', '.join(ring)}")
    sys.exit(bool(rings))


if __name__ == "__main__":
    main()
