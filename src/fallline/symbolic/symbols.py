"""How names, numbers and brackets are written in mathematics."""

from __future__ import annotations

import math
from collections.abc import Iterable
from fractions import Fraction
from typing import NamedTuple

from fallline.symbolic.operations import ATOM, POWER, PRODUCT

#: A text, and how strongly it holds together.
Written = tuple[str, int]

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


def number(value: float) -> str:
    """Write a number.

    >>> number(-0.5), number(1e-8), number(1 / 3)
    ('-0.5', '10^{-8}', '\\\\frac{1}{3}')
    """
    return ("-" if value < 0 else "") + unsigned(abs(value))[0]


def unsigned(value: float) -> Written:
    """A number without a sign, to twelve digits: the rest is rounding in the rule's own constants."""
    if not math.isfinite(value):
        return r"\infty" if value > 0 else r"\mathrm{NaN}", ATOM
    ratio = Fraction(value).limit_denominator(99)
    if float(ratio) == value and ratio != round(Fraction(value), 6):
        return rf"\frac{{{ratio.numerator}}}{{{ratio.denominator}}}", POWER
    mantissa, exponent = f"{value:.11e}".split("e")
    mantissa, power = mantissa.rstrip("0").rstrip("."), int(exponent)
    if -5 < power < max(6, len(mantissa) - 1):
        return f"{value:.12g}", ATOM
    ten = f"10^{grouped(str(power))}"
    return (ten, POWER) if mantissa == "1" else (rf"{mantissa} \cdot {ten}", PRODUCT)


def named(text: str) -> Written:
    """A symbol inside an expression."""
    return text, POWER if "^" in text else ATOM  # TeX allows one superscript


def bracketed(written: Written, above: int) -> str:
    """What is inside something that holds with strength `above`, in brackets only if they are needed."""
    text, strength = written
    return text if strength > above else brackets(text)


def brackets(text: str) -> str:
    """In brackets, which grow with what is high."""
    return rf"\left({text}\right)" if r"\frac" in text or r"\begin" in text else f"({text})"


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
