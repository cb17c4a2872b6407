"""What makes a run go on: its recipe, where its data lie, its log, its checkpoints."""

import json
import os
from collections.abc import Callable
from pathlib import Path

from hostile.making import RESUME, Case, edit, newest, put, rehashed, run, sparse


def recipe(name: str, says: str, do: tuple[str, ...] = RESUME, **changes: object) -> Case:
    return Case("recipe.json", name, lambda here: edit(run(here) / "recipe.json", put(**changes)), do, says)


RECIPES = [
    recipe("an import string", "unknown recipe", recipe="os.system"),
    recipe("an unknown option", "unknown option", options__hook="os.system"),
    recipe("data among the options", "unknown option", options__data="/etc"),
    recipe("options that are a list", "no recipe of a run", options=[]),
    recipe("no data", "no recipe of a run", data=None),
    recipe(
        "code as network", "cannot read network|unknown network", options__network="__import__('os').system('true')"
    ),
    recipe(
        "code as an option of a network", "cannot read network", options__network="unet(levels=open('/etc/passwd'))"
    ),
    recipe(
        "ten thousand brackets",
        "cannot read network",
        options__network="unet(levels=" + "(" * 10**4 + ")" * 10**4 + ")",
    ),
    recipe("ten thousand signs", "cannot read schedule", options__schedule="ve(sigma_max=" + "-" * 10**4 + "1)"),
    recipe("code as schedule", "cannot read", options__schedule="ve(sigma_max=__import__('os'))"),
    recipe(
        "a network of a million million",
        "cannot be made|more than any",
        options__network="unet(levels=(16384,16384),blocks=32)",
    ),
    recipe("a batch of 10^15", "more than any run", options__batch=10**15),
    recipe("a batch that is text", "must be int", options__batch="64"),
    recipe("threads without end", "threads must be", chosen__threads=10**9),
    recipe("micro-batches of nothing", "smaller must list", chosen__smaller=[[0, 0]]),
    recipe("another fingerprint", "not those that", data__fingerprint="0" * 64),
    recipe("a fingerprint that is a list", "not those that", data__fingerprint=[1]),
    recipe("code, done again", "unknown recipe", ("train", "run/recipe.json"), recipe="os.system"),
    recipe("a batch of 10^15, done again", "more than any run", ("train", "run/recipe.json"), options__batch=10**15),
    recipe("code, to evaluate", "unknown recipe", ("evaluate", "run"), recipe="os.system"),
    recipe("no options, to evaluate", "no recipe of a run", ("evaluate", "run"), options=None),
    Case(
        "recipe.json",
        "nested deep",
        lambda here: (run(here) / "recipe.json").write_bytes(b"[" * 10**6),
        RESUME,
        "nested too deep|not valid|lists more",
    ),
    Case(
        "recipe.json", "a gigabyte", lambda here: sparse(run(here) / "recipe.json", 2**30, b"{"), RESUME, "larger than"
    ),
]


def local(
    name: str, says: str, content: bytes | None = None, place: str | None = None, do: tuple[str, ...] = RESUME
) -> Case:
    def make(here: Path) -> None:
        path = run(here) / "local.json"
        path.write_bytes(content if content is not None else json.dumps({"data": place.format(here=here)}).encode())  # type: ignore[union-attr]
        if not (here / "pipe.npy").exists():
            os.mkfifo(here / "pipe.npy")
            os.mkfifo(here / "pipe")

    return Case("local.json", name, make, do, says)


LOCALS = [
    local("a list", "not an object", b"[]"),
    local("a number for a place", "not known here", b'{"data": 7}'),
    local("a place that is nowhere", "does not exist", place="/nowhere/../at/all"),
    local("a place that is a device", "neither a .npy", place="/dev/zero"),
    local("a place that is a pipe", "not a plain file", place="{here}/pipe.npy"),
    local("a place that is a nameless pipe", "neither a .npy", place="{here}/pipe"),
    local("a place that is a system file", "neither a .npy", place="/etc/passwd"),
    local("a place with a zero in it", "cannot|does not exist|null", b'{"data": "a\\u0000b"}'),
    local("a place of a million letters", "not known here", json.dumps({"data": "a" * 10**6}).encode()),
    local("a device, to evaluate", "neither a .npy", place="/dev/zero", do=("evaluate", "run")),
    Case("log.jsonl", "a gigabyte", lambda here: sparse(run(here) / "log.jsonl", 2**30), RESUME, "larger than"),
]


def manifest(name: str, says: str, change: Callable[[Path], object]) -> Case:
    return Case("checkpoint", name, lambda here: change(newest(run(here))), ("@checkpoint", "run"), says)


def facts(**changes: object) -> Callable[[Path], object]:
    return lambda path: edit(path / "manifest.json", put(**changes))


def stated(name: object, value: object = None) -> Callable[[Path], object]:
    def change(path: Path) -> None:
        edit(path / "manifest.json", lambda m: m["files"].__setitem__(name, value or m["files"]["state.json"]))

    return change


def state(**changes: object) -> Callable[[Path], object]:
    def change(path: Path) -> None:
        edit(path / "state.json", put(**changes))
        rehashed(path, "state.json")

    return change


def tensors(name: str, change: Callable[[dict], object]) -> Callable[[Path], object]:
    def make(path: Path) -> None:
        from safetensors.torch import load_file, save_file

        found = load_file(path / name)
        change(found)
        save_file(found, path / name)
        rehashed(path, name)

    return make


def resumed(name: str, says: str, change: Callable[[Path], object]) -> Case:
    """A checkpoint whose hashes are right and whose contents are another run's."""
    return Case("checkpoint", name, lambda here: change(newest(run(here))), RESUME, says)


CHECKPOINTS = [
    manifest("a name by ../", "lacks", stated("../../model.json")),
    manifest("an absolute name", "lacks", stated("/etc/passwd")),
    manifest("a name with an escape sequence", "lacks", stated("a\x1b[2J\n")),
    manifest("no name", "lacks", stated("")),
    manifest("its own folder", "lacks", stated(".")),
    manifest("facts that are a number", "not what was written", stated("state.json", 7)),
    manifest("files that are a list", "manifest that is none", facts(files=[])),
    manifest("no state", "manifest that is none", facts(files={})),
    manifest("another format", "manifest that is none", facts(format=2)),
    manifest("samples seen that are text", "how many samples", facts(seen="8")),
    manifest("samples seen beyond number", "how many samples", facts(seen=10**19)),
    manifest(
        "a manifest nested deep", "nested too deep", lambda p: (p / "manifest.json").write_bytes(b'{"a":' * 10**4)
    ),
    manifest("a manifest that is a list", "not an object", lambda p: (p / "manifest.json").write_bytes(b"[]")),
    manifest(
        "a link for weights",
        "lacks",
        lambda p: [(p / "raw.safetensors").unlink(), (p / "raw.safetensors").symlink_to("/etc/passwd")],
    ),
    manifest(
        "state that is a list",
        "not an object",
        lambda p: [(p / "state.json").write_bytes(b"[]"), rehashed(p, "state.json")],
    ),
    manifest(
        "a bit flipped",
        "not what was written",
        lambda p: (p / "raw.safetensors").write_bytes((p / "raw.safetensors").read_bytes()[:-1] + b"\x7f"),
    ),
    resumed("no counters", "not of this recipe", state(count=None)),
    resumed("groups that are text", "another optimizer", state(groups="os.system")),
    resumed("groups of other options", "another optimizer", state(groups=[{"lr": 1, "hook": "os.system"}])),
    resumed(
        "a learning rate of text",
        "another optimizer",
        lambda p: [edit(p / "state.json", lambda s: s["groups"][0].update(lr="1")), rehashed(p, "state.json")],
    ),
    resumed(
        "an optimizer of other names",
        "none of this network",
        tensors("optimizer.safetensors", lambda t: t.update({"x.y": next(iter(t.values())).clone()})),
    ),
    resumed(
        "an optimizer beyond the network",
        "none of this network",
        tensors("optimizer.safetensors", lambda t: t.update({"99999.momentum": t["0.momentum"].clone()})),
    ),
    resumed(
        "an optimizer of another shape",
        "none of this network",
        tensors("optimizer.safetensors", lambda t: t.update({"0.momentum": t["0.momentum"].flatten()[:1].clone()})),
    ),
    resumed(
        "an average of another shape",
        "does not fit",
        tensors("average-0.100.safetensors", lambda t: t.update({"stem.bias": t["stem.bias"][:1].clone()})),
    ),
    resumed("weights of another network", "does not fit", tensors("raw.safetensors", lambda t: t.popitem())),
]
