r"""Reads printed equations as a person does, and computes them.

A sum sign reaches to the end of its product; a symbol carries one superscript; two signs never stand side by side; a
number never stands right behind a factor. What breaks a rule is refused, as LaTeX or a reader would stumble over it.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

_TOKEN = re.compile(r"\\\\|\\ |\\[a-zA-Z]+|\d+(?:\.\d+)?|\S")
_FUNCTIONS: dict[str, Callable[..., Any]] = {
    r"\exp": np.exp,
    r"\log": np.log,
    r"\min": np.minimum,
    r"\max": np.maximum,
    r"\operatorname": np.sign,
}
_RELATIONS: dict[str, Callable[[Any, Any], Any]] = {
    "<": np.less, r"\le": np.less_equal, ">": np.greater, r"\ge": np.greater_equal, "=": np.equal, r"\ne": np.not_equal,
}  # fmt: skip
_OPENING = (r"\left", "(", r"\lVert", r"\langle", r"\frac", r"\sqrt", r"\begin", r"\textstyle", r"\infty", r"\neg")


def compute(equations: str, values: Mapping[str, Any]) -> dict[str, Any]:
    """Every line's left side with what its right side comes to, given the symbols' values."""
    known = dict(values)
    inner = equations.removeprefix("\\begin{aligned}\n").removesuffix("\n\\end{aligned}")
    for line in inner.split(" \\\\\n"):
        left, right = line.split(" &= ", 1)
        reader = _Reader(right, known)
        with np.errstate(all="ignore"):
            known[left] = reader.sum()
        reader.expect("")
    return known


class _Reader:
    def __init__(self, text: str, known: Mapping[str, Any]) -> None:
        self.text = text
        self.tokens: list[str] = [*_TOKEN.findall(text), ""]
        self.known = known
        self.at = 0

    @property
    def token(self) -> str:
        return self.tokens[self.at]

    def take(self) -> str:
        self.at += 1
        return self.tokens[self.at - 1]

    def expect(self, *tokens: str) -> None:
        for token in tokens:
            found = self.take()
            assert found == token, f"{token!r} wanted, {found!r} found in {self.text}"

    def sum(self) -> Any:
        value = -self.product() if self.token == "-" and self.take() else self.product()
        while self.token in ("+", "-"):
            value = value + self.product() if self.take() == "+" else value - self.product()
        return value

    def product(self) -> Any:
        value = self.factor()
        while self.token == r"\cdot" or self.starts_factor():
            if self.token == r"\cdot":
                self.take()
            else:
                assert not self.token[0].isdigit(), f"a number right behind a factor in {self.text}"
            value = value * self.factor()
        return value

    def starts_factor(self) -> bool:
        token = self.token
        stops = (r"\right", r"\rVert", r"\rangle", r"\end", r"\\", r"\wedge", r"\vee", *_RELATIONS)
        return token in _OPENING or token[:1].isalnum() or (token.startswith("\\") and token not in stops)

    def factor(self) -> Any:
        start = self.at
        value = self.atom()
        if self.token != "^":
            return value
        assert "^" not in self.outermost(start), f"two superscripts on one symbol in {self.text}"
        self.take()
        value = value ** self.group()
        assert self.token != "^", f"two superscripts on one symbol in {self.text}"
        return value

    def outermost(self, start: int) -> list[str]:
        """The tokens since `start` that stand in no brackets."""
        depth, found = 0, []
        for token in self.tokens[start : self.at]:
            depth -= token in ("}", ")", r"\right", r"\end", r"\rangle", r"\rVert")
            if depth == 0:
                found.append(token)
            depth += token in ("{", "(", r"\left", r"\begin", r"\langle", r"\lVert")
        return found

    def group(self) -> Any:
        if self.token != "{":
            token = self.take()
            assert len(token) == 1, f"only the first digit of {token} is raised in {self.text}"
            return np.float64(token) if token.isdigit() else self.known[token]
        self.take()
        value = self.sum()
        self.expect("}")
        return value

    def atom(self) -> Any:
        token = self.token
        if token[0].isdigit():
            return np.float64(self.take())
        reading: dict[str, Callable[[], Any]] = {
            "(": self.brackets, r"\left": self.brackets, r"\lVert": self.norm, r"\langle": self.inner_product,
            r"\frac": self.fraction, r"\sqrt": self.root, r"\begin": self.cases, r"\textstyle": self.total,
            r"\infty": self.infinity, **dict.fromkeys(_FUNCTIONS, self.function),
        }  # fmt: skip
        return reading.get(token, self.symbol)()

    def brackets(self) -> Any:
        if self.token == r"\left":
            self.take()
        opening = self.take()
        value = self.condition() if opening == "[" else self.sum()
        if self.token == r"\right":
            self.take()
        self.expect({"(": ")", "|": "|", "[": "]"}[opening])
        return np.abs(value) if opening == "|" else value

    def over(self) -> Callable[[Any], Any]:
        """What a reduction is over: the tensor, all tensors (one, here), or all but the first of several dimensions."""
        if self.token != "_":
            return np.sum
        self.expect("_", "{", r"\mathrm")
        over = self.braced()
        self.expect("}")
        if over == "{all}":
            return np.sum
        assert over == "{channel}", f"a reduction over {over} in {self.text}"
        return lambda x: np.sum(x) if np.ndim(x) < 2 else np.sum(x, axis=tuple(range(1, np.ndim(x))), keepdims=True)

    def norm(self) -> Any:
        self.expect(r"\lVert")
        value = self.sum()
        self.expect(r"\rVert")
        return np.sqrt(self.over()(value * value))

    def inner_product(self) -> Any:
        self.expect(r"\langle")
        left = self.sum()
        self.expect(",")
        right = self.sum()
        self.expect(r"\rangle")
        assert min(np.ndim(left), np.ndim(right)), f"an inner product with a number in {self.text}"
        return self.over()(left * right)

    def total(self) -> Any:
        self.expect(r"\textstyle", r"\sum")
        over = self.over()
        return over(self.product())

    def fraction(self) -> Any:
        self.expect(r"\frac", "{")
        above = self.sum()
        self.expect("}", "{")
        below = self.sum()
        self.expect("}")
        return above / below

    def root(self) -> Any:
        self.expect(r"\sqrt", "{")
        value = self.sum()
        self.expect("}")
        return np.sqrt(value)

    def infinity(self) -> Any:
        self.expect(r"\infty")
        return np.inf

    def function(self) -> Any:
        name = self.take()
        if name == r"\operatorname":
            self.expect("{", *"sign", "}")
        if self.token == r"\left":
            self.take()
        self.expect("(")
        arguments = [self.sum()]
        while self.token == ",":
            self.take()
            arguments.append(self.sum())
        if self.token == r"\right":
            self.take()
        self.expect(")")
        return _FUNCTIONS[name](*arguments)

    def cases(self) -> Any:
        self.expect(r"\begin", "{", *"cases", "}")
        yes = self.sum()
        self.expect("&", r"\text", "{", *"if", "}")
        condition = self.condition()
        self.expect(r"\\")
        no = self.sum()
        self.expect("&", r"\text", "{", *"else", "}", r"\end", "{", *"cases", "}")
        return np.where(condition, yes, no)

    def condition(self) -> Any:
        value = self.both()
        while self.token == r"\vee":
            self.take()
            value = value | self.both()
        return value

    def both(self) -> Any:
        value = self.single()
        while self.token == r"\wedge":
            self.take()
            value = value & self.single()
        return value

    def single(self) -> Any:
        if self.token == r"\neg":
            self.take()
            return np.logical_not(self.single())
        start = self.at
        try:
            left = self.sum()
            if np.asarray(left).dtype == bool:  # a condition that has a name
                return left
            return _RELATIONS[self.take()](left, self.sum())
        except (AssertionError, KeyError):  # not a comparison: a condition in brackets
            self.at = start
        if self.token == r"\left":
            self.take()
        self.expect("(")
        value = self.condition()
        if self.token == r"\right":
            self.take()
        self.expect(")")
        return value

    def symbol(self) -> Any:
        name = self.take()
        if name in (r"\mathrm", r"\hat", r"\bar", r"\tilde"):
            name += self.braced()
        while self.token == "_" or (self.token == "^" and self.tokens[self.at + 1 : self.at + 3] == ["{", r"\mathrm"]):
            assert self.token not in name, f"two {self.token} on one symbol in {self.text}"
            name += self.take()
            name += self.braced() if self.token == "{" else self.take()
        return self.known[name]

    def braced(self) -> str:
        self.expect("{")
        text, depth = "{", 1
        while depth:
            token = self.take()
            depth += (token == "{") - (token == "}")
            text += token
        return text
