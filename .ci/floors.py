"""Prints what pyproject.toml asks for, each at its oldest or newest version: `python .ci/floors.py oldest`."""

import re
import sys
import tomllib
from pathlib import Path


def requirements(which: str) -> list[str]:
    """The requirements of the package and its extras, and what the tests run with, which is always the newest."""
    project = tomllib.loads(Path("pyproject.toml").read_text(encoding="utf-8"))["project"]
    extras = dict(project["optional-dependencies"])
    tools = [one for one in extras.pop("test") if not one.startswith("fallline[")]
    del extras["check"]
    used = [*project["dependencies"], *(one for extra in extras.values() for one in extra)]
    return [*(re.sub(r">=([\d.]+).*", r"==\1", one) for one in used), *tools] if which == "oldest" else [*used, *tools]


if __name__ == "__main__":
    print("\n".join(requirements(sys.argv[1])))
