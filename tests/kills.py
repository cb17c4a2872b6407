"""Kills training at chosen and at random moments, goes on, and compares the bytes with a run that was never stopped.

    python tests/kills.py 50

Each attempt is a process of its own, forked from one that has everything loaded. A kill at a `write` leaves half of the
bytes, one at an `fsync` comes before it, at a `rename` before or after it, at a `removal` halfway through a folder; a
kill by `time` comes from outside when it has computed for a random time.
"""

import os
import random
import shutil
import signal
import sys
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import torch

import reverie.files
import reverie.recipes.session
from reverie.cli.train import go_on
from reverie.recipes.digits import Digits

RECIPE = Digits(samples=704, batch=32, micro_batch=16, dtype="float32", warmup=64, checkpoints=4, snapshots=4,
                workers=2, augment=0.3, network="unet(levels=(16, 16), blocks=1, groups=8, dropout=0.2)")  # fmt: skip
POINTS = ("write", "fsync", "rename", "renamed", "removal")


def die() -> None:
    os.kill(os.getpid(), signal.SIGKILL)


class Hook:
    """Counts what saving does, and kills this process at the n-th time of one kind."""

    def __init__(self, point: str | None = None, n: int = 0) -> None:
        self.point, self.n, self.counts = point, n, Counter[str]()

    def reached(self, point: str) -> bool:
        self.counts[point] += 1
        return point == self.point and self.counts[point] == self.n

    def install(self) -> None:
        fsync, replace, rmtree = os.fsync, os.replace, shutil.rmtree

        def hooked_fsync(handle):
            if self.reached("fsync"):
                die()
            fsync(handle)

        def hooked_replace(source, target):
            if self.reached("rename"):
                die()
            replace(source, target)
            if self.reached("renamed"):
                die()

        def hooked_rmtree(folder, *arguments, **options):
            if Path(folder).exists() and self.reached("removal"):
                next(path for path in sorted(Path(folder).iterdir())).unlink()
                die()
            rmtree(folder, *arguments, **options)

        def hooked_open(path, mode="r", *arguments, **options):
            file = open(path, mode, *arguments, **options)  # noqa: SIM115
            if "w" not in mode:
                return file
            write = file.write

            def half(data):
                if self.reached("write"):
                    write(data[: len(data) // 2])
                    file.flush()
                    die()
                return write(data)

            return Proxy(file, half)

        os.fsync, os.replace, shutil.rmtree = hooked_fsync, hooked_replace, hooked_rmtree
        reverie.files.open = hooked_open  # type: ignore[attr-defined]


class Proxy:
    """A file with another `write`."""

    def __init__(self, file, write):
        self.file, self.write = file, write

    def __getattr__(self, name):
        return getattr(self.file, name)

    def __enter__(self):
        self.file.__enter__()
        return self

    def __exit__(self, *error):
        return self.file.__exit__(*error)


def forked(work: Callable[[], None], after: float | None = None) -> int:
    """The exit status of `work` in a process of its own, -9 where it was killed; from outside, if at all, when it has
    computed for `after` seconds, which come at the same place of the work however busy the machine is.
    """
    child = os.fork()
    if child == 0:
        status = 1
        try:
            quiet = os.open(os.devnull, os.O_WRONLY)
            os.dup2(quiet, 2)
            sys.stderr = os.fdopen(2, "w", buffering=1, closefd=False)
            torch.set_num_threads(1)
            work()
            status = 0
        finally:
            os._exit(status)
    while after is not None:
        ended, status = os.waitpid(child, os.WNOHANG)
        if ended:
            return os.waitstatus_to_exitcode(status)
        if computed(child) >= after:
            os.kill(child, signal.SIGKILL)
            break
        time.sleep(0.002)
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])


def computed(process: int) -> float:
    """Seconds of all processors that a process has used."""
    user, system = Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()[11:13]
    return (int(user) + int(system)) / os.sysconf("SC_CLK_TCK")


def attempt(run: Path, hook: Hook | None = None) -> None:
    """Begins the run, or goes on with it, or begins anew where not even its recipe was written."""
    if hook:
        hook.install()
    if (run / "recipe.json").exists() and (run / "local.json").exists():
        go_on(run)
    else:
        shutil.rmtree(run, ignore_errors=True)
        RECIPE.run(run)


def contents(run: Path) -> dict[str, bytes]:
    """What must be equal: the model, its averages and snapshots, its pictures, and every checkpoint that is kept."""
    paths = [run / name for name in ("model.json", "recipe.json", "README.md")]
    for folder in ("weights", "ema", "samples", "checkpoints"):
        paths += [path for path in sorted((run / folder).rglob("*")) if path.is_file()]
    return {str(path.relative_to(run)): path.read_bytes() for path in paths}


def differences(run: Path, truth: dict[str, bytes]) -> list[str]:
    """What is not as in the run that was never stopped, litter included."""
    ours = contents(run)
    found = [name for name in sorted(truth.keys() | ours.keys()) if truth.get(name) != ours.get(name)]
    return found + [str(path.relative_to(run)) for path in run.rglob(".*")]


class Ground:
    """A folder with a run that was never stopped, what it did when saving, and how long it computed."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.made = folder, 0
        import accelerate  # noqa: F401
        import torch.utils.tensorboard  # noqa: F401

        RECIPE.loss(RECIPE.system(RECIPE.loaded()))  # loaded once, for all that are forked from here

        def measured() -> None:
            hook = Hook()
            began = time.process_time()
            attempt(folder / "whole" / "run", hook)
            (folder / "counts").write_text(" ".join(f"{k}={v}" for k, v in hook.counts.items()))
            (folder / "seconds").write_text(str(time.process_time() - began))

        assert forked(measured) == 0
        self.truth = contents(folder / "whole" / "run")
        self.counts = {k: int(v) for k, v in (one.split("=") for one in (folder / "counts").read_text().split())}
        self.seconds = float((folder / "seconds").read_text())

    def survive(self, kills: list[tuple[str, float]]) -> tuple[int, list[str]]:
        """Trains in a fresh folder through kills, (point, share of the way), one after the other; (kills that hit,
        differences in the end).
        """
        self.made += 1
        run, hits = self.folder / str(self.made) / "run", 0
        for point, share in kills:
            if point == "time":
                status = forked(lambda: attempt(run), after=share * self.seconds)
            else:
                hook = Hook(point, 1 + int(share * self.counts[point]))
                status = forked(lambda: attempt(run, hook))
            assert status in (0, -signal.SIGKILL), f"exit status {status} after {point} {share}"
            hits += status != 0
        assert forked(lambda: attempt(run)) == 0
        return hits, differences(run, self.truth)


def plan(n: int, seed: int) -> list[list[tuple[str, float]]]:
    """n kills, of which two in three are inside saving, in runs of two: the second comes while going on."""
    stream = random.Random(seed)
    kinds = [point for i in range(n) for point in [("time" if i % 3 == 2 else POINTS[i % len(POINTS)])]]
    kills = [(kind, stream.random() * (1.0 if i % 2 == 0 else 0.6)) for i, kind in enumerate(kinds)]
    return [kills[i : i + 2] for i in range(0, n, 2)]


def main(n: int, folder: Path, seed: int = 0) -> int:
    """Survives at least n kills and prints what they were."""
    ground = Ground(folder)
    print(f"never stopped: {ground.seconds:.1f} s; saving does {ground.counts}")
    total, inside, wrong, rounds = 0, 0, 0, iter(range(10**6))
    while total < n:
        for kills in plan(2 * (n - total), seed + next(rounds)):
            if total >= n:
                break
            hits, found = ground.survive(kills)
            total, wrong = total + hits, wrong + bool(found)
            inside += min(hits, sum(point != "time" for point, _ in kills))
            print(f"{total:3d} kills: {', '.join(f'{p} at {s:.2f}' for p, s in kills)}: {found or 'equal'}", flush=True)
    print(f"{total} kills survived, {inside} of them inside saving; {wrong} runs differ")
    return 1 if wrong else 0


if __name__ == "__main__":
    import tempfile

    with tempfile.TemporaryDirectory() as place:
        sys.exit(main(int(sys.argv[1]) if len(sys.argv) > 1 else 50, Path(place)))
