"""reverie doctor."""

import json
import sys
import time

import click

MARKS = {"passed": ("passed", "green"), "warning": ("warning", "yellow"), "fault": ("FAULT", "red"),
         "skipped": ("skipped", "blue")}  # fmt: skip


@click.command("doctor")
@click.argument("run")
@click.option("--data", type=click.Path(), help="where the data of the run are now")
@click.option("--only", multiple=True, help="one examination by name; may be repeated")
@click.option(
    "--json", "machine", is_flag=True, help="one JSON object for machines, and nothing else on standard output"
)
@click.pass_context
def command(ctx: click.Context, run: str, data: str | None, only: tuple[str, ...], machine: bool) -> None:
    """Find why RUN is bad: examine its files, data, noise, network, average, conditions, samples and log.

    Each finding has what was measured and, where it is not well, what to do. Exit status 0 only without faults.
    """
    from ..doctor.examining import Examined, as_dict, examine, faults
    from ..doctor.patient import Patient

    started, done = time.monotonic(), list[Examined]()
    for one in examine(Patient(run, data), only):
        done.append(one)
        print(f"examined {one.name} in {one.seconds:.1f} s", file=sys.stderr, flush=True)
        for finding in () if machine else one.findings:
            mark, colour = MARKS[finding.verdict]
            click.echo(f"{click.style(f'{mark:<8}', fg=colour)} {one.name:<11} {finding.said}")
            if finding.mend and finding.verdict != "passed":
                click.echo(f"{'':<20} -> {finding.mend}")
    report = as_dict(run, done)
    if machine:
        click.echo(json.dumps(report, indent=1, allow_nan=False, ensure_ascii=False))
    else:
        counts = ", ".join(f"{n} {verdict}" for verdict, n in report["counts"].items())
        click.echo(f"\n{counts}, in {time.monotonic() - started:.1f} s")
    ctx.exit(1 if faults(done) else 0)
