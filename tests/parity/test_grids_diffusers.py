"""Grids over the indices of a table are diffusers', index by index, for every number of steps."""

import pytest
from diffusers import DDIMScheduler

from reverie.core import grids
from reverie.core.schedules import LinearBetas

TABLE = LinearBetas()


@pytest.mark.parametrize(
    ("grid", "spacing", "offset"),
    [
        (grids.Leading, "leading", 0),
        (lambda n: grids.Leading(n, offset=1), "leading", 1),
        (grids.Linspace, "linspace", 0),
        (grids.Trailing, "trailing", 0),
    ],
    ids=["leading", "leading from 1", "linspace", "trailing"],
)
def test_the_indices_are_theirs_for_every_number_of_steps(grid, spacing, offset):
    theirs = DDIMScheduler(timestep_spacing=spacing, steps_offset=offset)
    for n in range(1, 1001):
        theirs.set_timesteps(n)
        if theirs.timesteps.max() > 999:  # they begin past their own table, and fail when its entry is asked for
            with pytest.raises(ValueError, match="past the last index"):
                grid(n)(TABLE)
            continue
        indices = theirs.timesteps[: n if spacing == "trailing" else None].tolist()
        assert theirs.timesteps[n:].tolist() in ([], [-1])  # some of their trailing grids have a step too many, at -1
        times = grid(n)(TABLE)
        assert times[-1] == 0
        assert (times[:-1] * 1000 - 1).round().long().tolist() == indices, n
