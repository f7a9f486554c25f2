"""How a name of the program is written in mathematics."""

from __future__ import annotations

from collections.abc import Iterable
from typing import NamedTuple

#: Names that stand for a letter of their own.
SYMBOLS = {
    "p": r"\theta", "lr": r"\eta", "eps": r"\epsilon", "weight_decay": r"\lambda", "momentum": r"\mu",
    "dampening": r"\tau", "lr_decay": r"\gamma",
}  # fmt: skip
_GREEK = {
    "alpha", "beta", "gamma", "delta", "epsilon", "zeta", "eta", "theta", "iota", "kappa", "lambda", "mu", "nu", "xi",
    "pi", "rho", "sigma", "tau", "upsilon", "phi", "chi", "psi", "omega",
}  # fmt: skip
_MARKS = {"hat": r"\hat", "bar": r"\bar", "tilde": r"\tilde"}
_DIGITS = "0123456789"


class _Symbol(NamedTuple):
    """A letter or word, and what stands at its upper and its lower right: one of each, as TeX allows no more."""

    base: str
    above: str = ""
    below: str = ""

    def __str__(self) -> str:
        above = rf"^{{\mathrm{{{self.above}}}}}" if self.above else ""
        return self.base + above + (f"_{grouped(self.below)}" if self.below else "")

    def at(self, index: str) -> str:
        """The symbol with its step, behind a comma where it has an index already; `m_t` has its step in its name."""
        return str(self._replace(below=f"{self.below},{index}" if self.below not in ("", "t") else index))


def symbol(name: str) -> str:
    """Write one name: beta1 as β₁, m_hat as m with a hat, a word in upright letters.

    >>> symbol("beta1"), symbol("m_hat"), symbol("trust")
    ('\\\\beta_1', '\\\\hat{m}', '\\\\mathrm{trust}')
    """
    return str(_read(name))


def indexed(name: str, index: str) -> str:
    """A symbol with its step: m at t-1 is m_{t-1}, and β₁-like names take the index behind a comma.

    >>> indexed("m", "t-1"), indexed("beta1", "t")
    ('m_{t-1}', '\\\\beta_{1,t}')
    """
    return _read(name).at(index)


def grouped(text: str) -> str:
    """In braces, if TeX would take the first character only."""
    return text if len(text) == 1 else f"{{{text}}}"


class Symbols:
    """The symbols of all names of a rule: where two would look the same, the later is spelled out."""

    def __init__(self, names: Iterable[str]) -> None:
        self._known: dict[str, _Symbol] = {}
        for name in names:
            found = _read(name)
            self._known[name] = _word(name) if found in self._known.values() else found

    def symbol(self, name: str) -> str:
        """One name of the rule, written."""
        return str(self._known[name])

    def written(self) -> Iterable[str]:
        """All of them."""
        return map(str, self._known.values())

    def indexed(self, name: str, index: str) -> str:
        """The same with its step."""
        return self._known[name].at(index)


def _read(name: str) -> _Symbol:
    name = name.strip("_")  # lambda_ is called so because of Python
    if name in SYMBOLS:
        return _Symbol(SYMBOLS[name])
    stem, _, last = name.rpartition("_")
    if stem:
        rest = _read(stem)
        if last in _MARKS:
            return rest._replace(base=f"{_MARKS[last]}{{{rest.base}}}")
        if not rest.below and (last.isdigit() or len(last) == 1):
            return rest._replace(below=last)
        if _is_letter(stem.partition("_")[0].rstrip(_DIGITS)):
            return rest._replace(above=rf"{rest.above}\ {last}".removeprefix(r"\ "))
    letters = name.rstrip(_DIGITS)
    base = _word(letters).base
    if _is_letter(letters):
        base = SYMBOLS.get(letters, "\\" + letters if letters in _GREEK else letters)
    return _Symbol(base, "", name[len(letters) :])


def _is_letter(text: str) -> bool:
    return len(text) == 1 or text in _GREEK


def _word(name: str) -> _Symbol:
    return _Symbol(rf"\mathrm{{{name.strip('_').replace('_', chr(92) + ' ')}}}")
