"""The commands; each is imported when it is called."""

from importlib import import_module

import click

COMMANDS = {
    "train": "Train a model on a folder, an array or a built-in set, or go on with a run.",
    "sample": "Make new samples with a run or a shipped model.",
    "edit": "Edit pictures: vary, inpaint, outpaint, upscale, restore, interpolate, ...",
    "evaluate": "Measure a run's samples against real data.",
    "replay": "Make a sample again from what it says made it, and compare.",
    "info": "Say what a run is, or what made a sample.",
    "doctor": "Find why a run is bad.",
    "compare": "Set runs side by side: options, losses, figures, samples.",
    "import": "Make a run of a model in diffusers' layout.",
    "export": "Write a run in the layout that diffusers reads.",
    "adapter": "Add low-rank changes (LoRA) to a run, or write them for another tool.",
    "push": "Send a run to a hub.",
    "pull": "Fetch a run, or a model in diffusers' layout, from a hub.",
    "data": "Check a data set, or fetch one.",
    "recipes": "List what `train` knows by name.",
    "samplers": "List what `--sampler` knows by name.",
    "guidance": "List what `--guidance` knows by name.",
}
MODULES = {"import": "importing", "export": "exporting"}
"""Where a command's name is no name of a module."""


class Lazy(click.Group):
    def list_commands(self, ctx):
        return list(COMMANDS)

    def get_command(self, ctx, cmd_name):
        if cmd_name not in COMMANDS:
            return None
        return import_module(f".{MODULES.get(cmd_name, cmd_name)}", __package__).command

    def resolve_command(self, ctx, args):
        if args and args[0] not in COMMANDS and not args[0].startswith("-"):
            from ..errors import unknown

            raise unknown("command", args[0], COMMANDS)
        return super().resolve_command(ctx, args)

    def format_commands(self, ctx, formatter):
        with formatter.section("Commands"):
            formatter.write_dl(list(COMMANDS.items()))


@click.group(cls=Lazy, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(package_name="reverie", prog_name="reverie")
def app() -> None:
    """Train, sample, edit and evaluate with diffusion models. --debug, anywhere, shows tracebacks."""
