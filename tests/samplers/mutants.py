"""Samplers with one of their terms halved."""

import ast
import copy
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import fields
from importlib import import_module
from pathlib import Path

import reverie.samplers
from reverie.samplers.base import Sampler

ROOT = Path(reverie.samplers.__file__).parent
OUTSIDE = (
    "__init__",
    "__post_init__",
    "variants",
    "evaluations",
    "order",
    "stochastic",
    "init",
    "tally",
    "total",
    "__str__",
)
"""What says something of a sampler, and does not step."""
PRODUCTS = (ast.Mult, ast.Div, ast.MatMult)


class Halving(ast.NodeTransformer):
    """Halves term number `which` of a module: a summand, a whole product, or an exponent, within functions that step.

    The factors of a product are not halved one by one, for that is the product halved, or doubled.
    """

    def __init__(self, which: int = -1) -> None:
        self.which, self.owner, self.inside, self.terms = which, "", "", []

    def visit_ClassDef(self, node):
        self.owner = f"{node.name}."
        self.generic_visit(node)
        self.owner = ""
        return node

    def visit_FunctionDef(self, node):
        if node.name in OUTSIDE:
            return node
        outer, self.inside = self.inside, self.owner + node.name
        node.body = [self.visit(statement) for statement in node.body]
        self.inside = outer
        return node

    def visit_BinOp(self, node):
        if isinstance(node.op, PRODUCTS):
            return self.term(self.factors(node))
        if isinstance(node.op, (ast.Add, ast.Sub)):
            node.left, node.right = self.summand(node.left), self.summand(node.right)
        elif isinstance(node.op, ast.Pow):
            node.left, node.right = self.visit(node.left), self.term(self.visit(node.right))
        return node

    def factors(self, node):
        if isinstance(node, ast.BinOp) and isinstance(node.op, PRODUCTS):
            node.left, node.right = self.factors(node.left), self.factors(node.right)
            return node
        return self.visit(node)

    def summand(self, node):
        whole = isinstance(node, ast.BinOp) and not isinstance(node.op, ast.Pow)
        return self.visit(node) if whole else self.term(self.visit(node))

    def term(self, node):
        text = ast.unparse(node)
        if (
            not self.inside
            or text.startswith("0 * ")
            or isinstance(node, (ast.Tuple, ast.List, ast.JoinedStr))
            or "'" in text
        ):
            return node
        self.terms.append((self.inside, text))
        if len(self.terms) - 1 != self.which:
            return node
        return ast.BinOp(node, ast.Mult(), ast.Constant(0.5))


def terms(file: str) -> list[tuple[str, str]]:
    """(function or class and method, expression) of every term of a file of the package."""
    halving = Halving()
    halving.visit(ast.parse((ROOT / f"{file}.py").read_text()))
    return halving.terms


def dependents(file: str) -> list[str]:
    """The files of the package that import it, at however many removes, each after those it imports; it is the first."""
    imports = {
        path.stem: {
            (node.module or "").split(".")[-1]
            for node in ast.walk(ast.parse(path.read_text()))
            if isinstance(node, ast.ImportFrom) and node.level == 1
        }
        for path in ROOT.glob("*.py")
    }
    found, rest = [file], sorted(imports)
    while True:
        late = [name for name in rest if name not in found and imports[name] & set(found)]
        if not late:
            return sorted(found, key=lambda name: _depth(imports, name))
        found += late


def _depth(imports: dict[str, set[str]], name: str) -> int:
    return 1 + max((_depth(imports, other) for other in imports.get(name, ()) if other in imports), default=0)


@contextmanager
def mutated(file: str, which: int, instances: list[Sampler]) -> Iterator[list[Sampler]]:
    """The instances whose class depends on the file, made anew of classes in which its term number `which` is halved."""
    tree = Halving(which).visit(ast.parse((ROOT / f"{file}.py").read_text()))
    code = compile(ast.fix_missing_locations(copy.deepcopy(tree)), f"{file}, halved", "exec")
    names = [f"reverie.samplers.{name}" for name in dependents(file)]
    kept = {name: sys.modules[name] for name in names}
    try:
        for name in names:
            del sys.modules[name]
        module = type(sys)(names[0])
        module.__package__ = "reverie.samplers"
        sys.modules[f"reverie.samplers.{file}"] = module
        exec(code, module.__dict__)
        for name in names:
            if name != f"reverie.samplers.{file}":
                import_module(name)
        yield [
            getattr(sys.modules[type(one).__module__], type(one).__name__)(
                **{field.name: getattr(one, field.name) for field in fields(one)}
            )
            for one in instances
            if type(one).__module__ in kept
        ]
    finally:
        sys.modules.update(kept)
        for name, module in kept.items():
            setattr(reverie.samplers, name.rpartition(".")[2], module)
