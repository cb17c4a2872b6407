"""Renders docs/performance.md from what the benchmarks of speed measured: python -m benchmarks.performance"""

import json
from itertools import takewhile
from pathlib import Path
from statistics import mean, median
from typing import Any

from . import pipeline, scaling, startup
from .stable_diffusion import KEPT
from .time_to_quality import PEERS

DOCS = Path(__file__).parent.parent / "docs"
PAGE = Path(__file__).with_name("performance_page.md")
OURS, COMPILED = "ours", "ours, --compile on"
BARS = {
    ("unet", "train"): (4.0, 1.4),
    ("unet", "infer"): (3.0, 1.4),
    ("dit", "train"): (4.0, 1.4),
    ("dit", "infer"): (3.0, 1.4),
}
"""Times diffusers as it is run, and times its best."""


def main() -> None:
    throughput, precision, started = (
        json.loads((DOCS / f"{name}.json").read_text()) for name in ("throughput", "precision", "startup")
    )
    page = PAGE.read_text()
    for kind in ("unet", "dit"):
        page = page.replace(f"<<{kind}>>", "\n".join(contenders(kind, throughput[kind])))
    page = page.replace("<<ceiling>>", f"{median(throughput['unet']['ceiling']):,.0f}")
    smaller = json.loads((DOCS / "throughput_zen4.json").read_text())
    page = page.replace("<<zen4_ceiling>>", f"{median(smaller['unet']['ceiling']):,.0f}")
    page = page.replace(
        "<<zen4>>", "\n".join(line for kind in smaller for line in (*contenders(kind, smaller[kind]), "")).strip()
    )
    page = page.replace("<<zen4_bound>>", "; ".join(bound(kind, smaller[kind]) for kind in smaller))
    page = page.replace("<<precision>>", "\n".join(dtypes(precision)))
    for name, table in (("scaling", grown), ("pipeline", fed), ("quality", learned)):
        source = DOCS / f"{'time_to_quality' if name == 'quality' else name}.json"
        page = page.replace(f"<<{name}>>", "\n".join(table(json.loads(source.read_text()))))
    for name, rows in (("learning", tried), ("sampling", equalled), ("stable_diffusion", imported)):
        source = DOCS / f"{name}.json"
        found = rows(json.loads(source.read_text())) if source.exists() else ["Not measured yet."]
        page = page.replace(f"<<{name}>>", "\n".join(found))
    page = page.replace("<<startup>>", "\n".join(startup.table(started)))
    (DOCS / "performance.md").write_text(page)


def imported(found: dict[str, Any]) -> list[str]:
    """Of Stable Diffusion's networks in float32, which the page tells of."""
    found = found["float32"]
    rows = ["| | ours | diffusers | ratio | of the best of each | asked for |", "| --- | --- | --- | --- | --- | --- |"]
    for work, name in (("unet", "U-Net, two latents"), ("decode", "decoder, 512 x 512")):
        one, sides = found[work], ("ours", "diffusers")
        times = " | ".join(f"{one['seconds'][f'{side}, as it comes']:.2f} s" for side in sides)
        ratios = " | ".join("{:.2f} ({:.2f} to {:.2f})".format(*one[kind]) for kind in ("as it comes", "best"))
        rows.append(f"| {name} | {times} | {ratios} | 1.2 |")
    if "tiled" in found:
        theirs = found["tiled"]["diffusers"]
        for side, how in (("ours", ""), (KEPT, ", keeping what is freed")):
            ours = found["tiled"][side]
            rows.append(
                f"| memory of 2048 x 2048 in tiles of 512{how} | {ours:,} MiB | {theirs:,} MiB | {theirs / ours:.2f} | | |"
            )
    return rows


def contenders(kind: str, found: dict[str, Any]) -> list[str]:
    """A row for each contender, then one of ratios for each bar."""
    size, ceiling = found["sizes"][OURS], median(found["ceiling"])
    rows = [
        f"{size['parameters'] / 1e6:.2f} M parameters, {size['flop'] / 1e9:.2f} GFLOP an evaluation.",
        "",
        "| | training, images/s | of the ceiling | evaluation, images/s | of the ceiling | peak memory, MiB |",
        "| --- | --- | --- | --- | --- | --- |",
    ]
    for name, speeds in found["speeds"].items():
        train, infer = median(speeds["train"]), median(speeds["infer"])
        shares = [f"{times * speed * size['flop'] / 1e9 / ceiling:.0%}" for times, speed in ((3, train), (1, infer))]
        rows.append(f"| {name} | {train:.1f} | {shares[0]} | {infer:.0f} | {shares[1]} | {found['peak_mib'][name]:,} |")
    rows += ["", "| ours over | training | asked for | evaluation | asked for |", "| --- | --- | --- | --- | --- |"]
    theirs = [name for name in found["speeds"] if not name.startswith(OURS)]
    run = next(name for name in theirs if "as run" in name)
    for i, words in enumerate(("diffusers as it is run", "diffusers at its best")):
        cells = []
        for what in ("train", "infer"):
            other = run if i == 0 else max(theirs, key=lambda name: median(found["speeds"][name][what]))
            low, middle, high = ratio(found["speeds"], what, other)
            bar = BARS[kind, what][i]
            cells.append(
                f"{middle:.2f} ({low:.2f} to {high:.2f}) | {bar:g}{'' if middle >= bar else ': **not reached**'}"
            )
        rows.append(f"| {words} | {' | '.join(cells)} |")
    return rows


def bound(kind: str, found: dict[str, Any]) -> str:
    """What share of the ceiling ours takes in training, and would take at its bar."""
    share = 3 * found["sizes"][OURS]["flop"] / 1e9 / median(found["ceiling"])
    speeds = {name: median(each["train"]) for name, each in found["speeds"].items()}
    ours, theirs = (max(speed for name, speed in speeds.items() if of(name))
                    for of in (lambda name: name.startswith(OURS), lambda name: "as run" in name))  # fmt: skip
    bar, name = BARS[kind, "train"][0], {"unet": "the U-Net", "dit": "the transformer"}[kind]
    asked = f"at {bar:g} times diffusers as it is run would be at {bar * share * theirs:.0%}"
    return f"{name} trains at {share * ours:.0%} of the ceiling, and {asked}"


def ratio(speeds: dict[str, dict[str, list[float]]], what: str, other: str) -> tuple[float, float, float]:
    """The least, the middle and the greatest of a round's ratios, ours as its trial would choose it."""
    ours = max((name for name in speeds if name.startswith(OURS)), key=lambda name: median(speeds[name][what]))
    each = sorted(a / b for a, b in zip(speeds[ours][what], speeds[other][what]))
    return each[0], median(each), each[-1]


def dtypes(found: dict[str, Any]) -> list[str]:
    seeds = range(len(found["kernel_distance"]["float32"]))
    rows = [
        "| | " + " | ".join(f"seed {seed}" for seed in seeds) + " | mean |",
        "| --- |" + " --- |" * (len(seeds) + 1),
    ]
    for dtype, values in found["kernel_distance"].items():
        rows.append(f"| {dtype} | " + " | ".join(f"{value:.5f}" for value in values) + f" | {mean(values):.5f} |")
    return [*rows, "", f"bfloat16 less float32: {found['difference']:+.5f} ± {found['standard_error']:.5f}, which is "
                       f"{found['share']:+.1%}; asked for: within two standard errors, and within 10 %."]  # fmt: skip


def grown(found: dict[str, Any]) -> list[str]:
    """Milliseconds a step along each axis, and the exponent at its end; then memory."""
    rows = []
    for axis, times in found["seconds"].items():
        cells = ", ".join(f"{size}: {1000 * median(each):.1f}" for size, each in times.items())
        rows.append(f"- {axis}: {cells} ms; exponent {scaling.exponent(times):.2f}")
    peaks = [f"{size:,.0f} MiB for {int(count):,}" for count, size in found["peak_mib"].items()]
    said = f"Peak memory of `reverie sample fashion_mnist`, the whole process: {', '.join(peaks)} samples."
    return [*rows, "", said]


def fed(found: dict[str, Any]) -> list[str]:
    """Pictures a second from each source, and of those in a tensor, by the ratios of rounds."""
    speeds = found["speeds"]
    base = speeds[f"{pipeline.MEMORY}, 0 workers"]
    rows = ["| from | pictures/s | of a tensor's |", "| --- | --- | --- |"]
    for name, each in speeds.items():
        shares = sorted(a / b for a, b in zip(each, base, strict=True))
        rows.append(f"| {name} | {median(each):.1f} | {median(shares):.3f} ({shares[0]:.3f} to {shares[-1]:.3f}) |")
    share = median(a / b for a, b in zip(speeds[f"{pipeline.FOLDER}, 0 workers"], base, strict=True))
    said = "reached" if share >= pipeline.BAR else "**not reached**"
    decoded = f"{found['files']:,} JPEG files of {found['side']} x {found['side']} are decoded once, in {found['decoding']:.1f} s"
    return [*rows, "", f"{decoded}, before training begins. Asked for of the folder: {pipeline.BAR:g}, {said}."]


def learned(found: dict[str, Any]) -> list[str]:
    """Distances at each time, ours and the peers' that are done, and how many times the best peer's is ours."""
    minutes = list(found["ours"])
    rows = [
        "| | parameters | ms an update | " + " | ".join(f"{m} minutes" for m in minutes) + " |",
        "| --- | --- | --- |" + " --- |" * len(minutes),
    ]
    size = found["speeds"]["ours"]
    figures = " | ".join(f"{found['ours'][m]['distance']:.2f}" for m in minutes)
    rows.append(f"| ours | {size['parameters'] / 1e6:.2f} M | {1000 * size['seconds']:.0f} | {figures} |")
    for name, peer in found["peers"].items():
        size = found["speeds"][f"{name}, {peer['dtype']}"]
        cells = [f"{peer['minutes'][m]['distance']:.2f} ({peer['minutes'][m]['weights']})" for m in minutes]
        rows.append(f"| {name}, {peer['dtype']}, rate {float(peer['rate']):g} | {size['parameters'] / 1e6:.2f} M | "
                    f"{1000 * size['seconds']:.0f} | {' | '.join(cells)} |")  # fmt: skip
    ladder = ", ".join(f"{name} {value:.2f}" for name, value in found["ladder"].items())
    rows += ["", f"Real pictures, as many: {ladder}."]
    rows += [f"Not measured yet: {', '.join(left)}."] if (left := [n for n in PEERS if n not in found["peers"]]) else []
    for m in minutes if found["peers"] else ():
        best = min((peer["minutes"][m]["distance"], name) for name, peer in found["peers"].items())
        share = found["ours"][m]["distance"] / best[0]
        rows.append(f"At {m} minutes ours is {share:.2f} of {best[1]}'s; asked for: a quarter, "
                    f"{'reached' if share < 0.25 else '**not reached**'}.")  # fmt: skip
    last = found["ours"][minutes[-1]]["distance"]
    said = "reached" if last < found["ladder"]["noise 0.1"] else "**not reached**"
    return [*rows, f"At {minutes[-1]} minutes below the rung of noise 0.1: {said}."]


def tried(found: dict[str, Any]) -> list[str]:
    rows = ["| | distance | seconds of one core |", "| --- | --- | --- |"]
    return rows + [f"| {name} | {one['distance']:.2f} | {one['seconds']:.0f} |" for name, one in found.items()]


def equalled(found: dict[str, Any]) -> list[str]:
    """The quickest peer at each distance, and ours; then what was found at each number of evaluations."""
    rows = [
        "| distance | the quickest peer | its images/s | ours | images/s | ours over it |",
        "| --- | --- | --- | --- | --- | --- |",
    ]
    ratios = []
    for one in found["equal"]:
        (label, rate), (mine, ours) = one["theirs"], one["ours"] or ("not reached", 0.0)
        ratios.append(ours / rate)
        rows.append(
            f"| {one['distance']:.2f} | {one['peer']}, {label} | {rate:.1f} | {mine} | {ours:.1f} | {ratios[-1]:.1f} |"
        )
    each = ", ".join(f"{name} {1000 * seconds:.2f}" for name, seconds in found["seconds"].items())
    reached = [one["distance"] for one, _ in takewhile(lambda pair: pair[1] >= 3, zip(found["equal"], ratios))]
    said = f"reached up to a distance of {max(reached):.2f}, **not beyond**" if reached else "**not reached**"
    said = "reached" if len(reached) == len(ratios) else said
    rows += [
        "",
        f"Milliseconds an evaluation of a sample: {each}. Asked for: three times the best peer at equal distance, {said}.",
        "",
    ]
    nearest, ours = found["equal"][0]["distance"], found["distances"]["ours"].items()
    first = min((int(label.split()[1]) for label, distance in ours if distance < nearest), default=None)
    rows += [f"Ours is nearer than any of theirs from {first} evaluations on.", ""] if first else []
    counts = sorted({int(label.split()[1]) for points in found["distances"].values() for label in points})
    rows += [f"| Fréchet distance at | {' | '.join(map(str, counts))} |", "| --- |" + " --- |" * len(counts)]
    for name, points in found["distances"].items():
        for sampler in dict.fromkeys(label.split()[0] for label in points):
            cells = [f"{points[label]:.2f}" if (label := f"{sampler} {n}") in points else "" for n in counts]
            rows.append(f"| {name}, {sampler} | {' | '.join(cells)} |")
    return rows


def figures() -> None:
    """docs/images/scaling.png and time_to_quality.png."""
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot as plt

    found = json.loads((DOCS / "scaling.json").read_text())["seconds"]
    fig, axes = plt.subplots(1, len(found), figsize=(3.2 * len(found), 3), sharey=True)
    for axis, (name, times) in zip(axes, found.items()):
        sizes = [int(size) for size in times]
        axis.loglog(sizes, [1000 * median(each) for each in times.values()], marker="o", lw=1.2)
        axis.set(
            xlabel=name,
            ylabel="ms a step" if axis is axes[0] else "",
            xticks=sizes,
            xticklabels=[str(n) for n in sizes],
        )
        axis.minorticks_off()
    fig.tight_layout()
    fig.savefig(DOCS / "images" / "scaling.png", dpi=110)
    plt.close(fig)

    found = json.loads((DOCS / "time_to_quality.json").read_text())
    fig, one = plt.subplots(figsize=(6, 3.6))
    lines = {"ours": found["ours"]} | {name: peer["minutes"] for name, peer in found["peers"].items()}
    for name, points in lines.items():
        one.semilogy(
            [int(m) for m in points], [value["distance"] for value in points.values()], marker="o", lw=1.2, label=name
        )
    for name, value in found["ladder"].items():
        one.axhline(value, color="grey", lw=0.7, ls=":")
        one.text(10.2, value, name, fontsize=7, va="center", color="grey")
    one.set(xlabel="minutes of training", ylabel="Fréchet distance", xlim=(4.5, 11.5))
    one.legend(fontsize=8)
    fig.tight_layout()
    fig.savefig(DOCS / "images" / "time_to_quality.png", dpi=110)
    plt.close(fig)


if __name__ == "__main__":
    main()
    figures()
