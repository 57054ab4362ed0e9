"""Which commands a lab's `interact` knows: what its text compares ``command_id`` with.

A function that falls off its end returns None, whether it has done what was asked for or has not
known the command. Where its text shows that it does nothing under other names, these are refused
without calling it::

    def interact(data):
        if data["command_id"] == "open":
            shutter.open()
        elif data["command_id"] in ("close", "shut"):
            shutter.close()

Only what is certain counts. A name from a variable, a call, an ``else`` with something in it, data
that is handed on: each of them may be the way of any command, and the function is then called
with all.
"""

from __future__ import annotations

import ast
import inspect
import warnings
from collections.abc import Iterable
from types import CodeType
from typing import Any, NamedTuple


class Names(NamedTuple):
    """What is known of the commands that a function knows."""

    names: frozenset[str] = frozenset()
    """Those that stand in its text."""
    are_all: bool = False
    """Whether it certainly does nothing under any other."""


def names_of(interact: Any) -> Names:
    """Read a function's text; without one, nothing is known."""
    try:
        function = _parse(interact)
    except Exception:  # noqa: BLE001 whatever is wrong with its text, a function can be called
        return Names()
    positional = function.args.posonlyargs + function.args.args
    own = positional[inspect.ismethod(interact) :]
    if not own:
        return Names()
    text = _Text(own[0].arg, function)
    return Names(text.names(function), text.is_inert(function.body))


def _parse(interact: Any) -> ast.FunctionDef | ast.AsyncFunctionDef:
    """The function's text as a tree.

    Raises an exception where there is none, and where it is not certain that this is what the
    function does: the file may have been edited since it was loaded.
    """
    code = interact.__code__
    text = inspect.getsource(code)  # for a decorated function, its text and not that within
    is_within = text[:1].isspace()
    if is_within:
        # Variables of the functions around it are to remain such.
        text = f"def around({', '.join(code.co_freevars)}):\n{text}"
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # Python has said it when it loaded the file
        [tree] = ast.parse(text).body
        [compiled] = _functions(compile(text, "", "exec"))
    if is_within:
        [tree], [compiled] = getattr(tree, "body", []), _functions(compiled)
    if not isinstance(tree, ast.FunctionDef | ast.AsyncFunctionDef):
        raise TypeError("not the text of a function")
    if any(getattr(code, part) != getattr(compiled, part) for part in _CODE):
        raise ValueError("the text is another one")
    return tree


_CODE = ("co_consts", "co_names", "co_varnames", "co_freevars")
"""What shows whether two codes are of one text. What they do with it (co_code) depends on the
imports of the module as well."""


def _functions(code: CodeType) -> list[CodeType]:
    return [constant for constant in code.co_consts if inspect.iscode(constant)]


class _Text:
    """A function's text, and the variables that hold the command's name in it."""

    def __init__(self, data: str, function: ast.AST) -> None:
        self._data = data
        self._variables: set[str] = set()
        for node in ast.walk(function):
            match node:
                case ast.Assign([ast.Name(variable)], value) | ast.NamedExpr(
                    ast.Name(variable), value
                ) if self._is_name(value):
                    self._variables.add(variable)

    def names(self, function: ast.AST) -> frozenset[str]:
        """All names that are compared with the command's."""
        names: set[str] = set()
        for node in ast.walk(function):
            if isinstance(node, ast.Compare):
                names |= self._tested(node) or set()
            elif isinstance(node, ast.Match):
                names |= self._matched(node) or set()
        return frozenset(names)

    def is_inert(self, body: Iterable[ast.stmt]) -> bool:
        """Whether statements do nothing where the command has none of the names in them."""
        return all(map(self._is_inert, body))

    def _is_inert(self, statement: ast.stmt) -> bool:
        match statement:
            case ast.Pass() | ast.Expr(ast.Constant()):
                return True
            case ast.Return(None) | ast.Return(ast.Constant(None)):
                return True
            case ast.Assign([ast.Name(_)], value):
                return self._is_name(value)
            case ast.Expr(ast.Call(ast.Name("print"), arguments, [] | [ast.keyword("flush")])):
                return not _calls(arguments)
            case ast.If(test, _, otherwise):
                return self._tested(test) is not None and self.is_inert(otherwise)
            case ast.Match():
                return self._matched(statement) is not None
        return False

    def _is_name(self, value: ast.expr) -> bool:
        """Whether an expression is the command's name."""
        match value:
            case ast.Name(variable):
                return variable in self._variables
            case ast.NamedExpr(_, value):
                return self._is_name(value)
            case ast.Subscript(ast.Name(data), ast.Constant("command_id")):
                return data == self._data
            case ast.Call(ast.Attribute(ast.Name(data), "get"), [ast.Constant("command_id"), *_]):
                return data == self._data
        return False

    def _tested(self, test: ast.expr) -> set[str] | None:
        """The names for which alone a test can be true; None where they are not known."""
        match test:
            case ast.BoolOp(ast.And(), [first, *_]):
                return self._tested(first)
            case ast.BoolOp(ast.Or(), parts):
                return _union(map(self._tested, parts))
            case ast.Compare(one, [ast.Eq()], [other]):
                if self._is_name(other):
                    one, other = other, one
                return _constants([other]) if self._is_name(one) else None
            case ast.Compare(
                one, [ast.In()], [ast.Tuple(elts=others) | ast.List(others) | ast.Set(others)]
            ) if self._is_name(one):
                return _constants(others)
        return None

    def _matched(self, statement: ast.Match) -> set[str] | None:
        """The names for which alone a match does something; None where they are not known."""
        subject = statement.subject
        is_data = isinstance(subject, ast.Name) and subject.id == self._data
        if not is_data and not self._is_name(subject):
            return None
        return _union(map(self._of_case, statement.cases))

    def _of_case(self, case: ast.match_case) -> set[str] | None:
        names = _pattern_names(case.pattern)
        if names is None and case.guard is None and self.is_inert(case.body):
            return set()
        return names


def _pattern_names(pattern: ast.pattern) -> set[str] | None:
    """The names for which alone a pattern can match."""
    match pattern:
        case ast.MatchValue(value):
            return _constants([value])
        case ast.MatchOr(patterns):
            return _union(map(_pattern_names, patterns))
        case ast.MatchAs(ast.pattern() as inner):
            return _pattern_names(inner)
        case ast.MatchMapping(keys, patterns):
            for key, inner in zip(keys, patterns, strict=True):
                if isinstance(key, ast.Constant) and key.value == "command_id":
                    return _pattern_names(inner)
    return None


def _constants(values: Iterable[ast.expr]) -> set[str] | None:
    """The texts that stand there; None where something else does."""
    return _union(
        {value.value} if isinstance(value, ast.Constant) and isinstance(value.value, str) else None
        for value in values
    )


def _union(parts: Iterable[set[str] | None]) -> set[str] | None:
    union: set[str] = set()
    for part in parts:
        if part is None:
            return None
        union |= part
    return union


def _calls(values: Iterable[ast.expr]) -> bool:
    """Whether something is called in expressions."""
    return any(isinstance(node, ast.Call) for value in values for node in ast.walk(value))
