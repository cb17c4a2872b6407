"""What a scheduler of diffusers is here: a schedule, a parameterization, what the network is told, a grid and a sampler.

Every setting of its configuration is one of ours or is refused by name. Where that library's own formula is wrong
(docs/samplers.md), ours is the right one.
"""

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from .. import guidance
from ..core.grids import FlowShift, Grid, Karras, Leading, Linspace, LogSNR, Trailing
from ..core.parameterizations import Clean, Flow, Index, Noise, NoiseInput, Parameterization, Time, Velocity
from ..core.schedules import (
    CosineBetas,
    Discrete,
    LinearBetas,
    Rectified,
    ScaledLinearBetas,
    Schedule,
    SigmoidBetas,
    Tabulated,
    ZeroTerminalSNR,
)
from ..discover import Plan, plan
from ..guidance.base import Guidance
from ..samplers.base import Sampler
from ..samplers.ddim import DDIM
from ..samplers.ddpm import DDPM
from ..samplers.deis import DEIS
from ..samplers.dpmpp_1_sde import DPMpp1SDE
from ..samplers.dpmpp_2m import DPMpp2M
from ..samplers.dpmpp_2m_sde import DPMpp2MSDE
from ..samplers.euler import Euler
from ..samplers.euler_ancestral import EulerAncestral
from ..samplers.plms import PLMS
from ..samplers.pndm import PNDM
from ..samplers.unipc import UniPC
from .folders import Part
from .settings import Settings

MOST_LEVELS = 10**5
PREDICTS: dict[str, Parameterization] = {"epsilon": Noise(), "v_prediction": Velocity(), "sample": Clean()}


@dataclass(frozen=True)
class Scheduled:
    """The fields of `Diffusion` and of its `Defaults` that a scheduler decides."""

    schedule: Schedule
    parameterization: Parameterization
    noise_input: NoiseInput
    grid: Grid
    sampler: Sampler
    guidance: tuple[Plan[Guidance], ...] = ()
    start: float | None = None


def read_scheduler(part: Part, steps: int) -> Scheduled:
    """`steps` are those that the pipeline takes unless told otherwise. Raises ReverieError for what is not done here."""
    told = Settings(part.config, f"{part.kind} of {part.folder.parent.name}")
    found = (READERS | FLOWS)[part.kind](told, steps)
    told.done()
    return found


def table(told: Settings, first: float = 1e-4, last: float = 0.02, rescales: bool = True) -> tuple[Discrete, int]:
    """The levels and how many there are."""
    count = told.take("num_train_timesteps", 1000)
    first, last = told.take("beta_start", first), told.take("beta_end", last)
    kinds: Mapping[str, Callable[[], Discrete]] = {
        "linear": lambda: LinearBetas(count, first, last),
        "scaled_linear": lambda: ScaledLinearBetas(count, first, last),
        "squaredcos_cap_v2": lambda: CosineBetas(count),
        "sigmoid": lambda: SigmoidBetas(count, first, last),
    }
    made = kinds[told.one_of("beta_schedule", "linear", kinds)]
    trained = told.take("trained_betas", None, (list, tuple))
    if not 3 <= count <= MOST_LEVELS:
        raise told.refused("num_train_timesteps", count, f"where 3 to {MOST_LEVELS} are done")
    if trained is not None and not all(type(one) in (int, float) and 0 < one <= 1 for one in trained):
        raise told.refused("trained_betas", trained, "which are not numbers in (0, 1]")
    if trained is not None and len(trained) != count:
        raise told.refused("num_train_timesteps", count, f"beside {len(trained)} trained_betas")
    schedule = made() if trained is None else Tabulated(tuple(map(float, trained)))
    try:
        schedule = ZeroTerminalSNR(schedule) if rescales and told.take("rescale_betas_zero_snr", False) else schedule
        schedule(1.0)
    except (ValueError, ArithmeticError) as error:
        raise told.refused("beta_schedule", type(schedule).__name__, f"which is no table of levels: {error}") from None
    return schedule, count


def predicts(told: Settings, schedule: Schedule) -> Parameterization:
    name = told.one_of("prediction_type", "epsilon", PREDICTS)
    if name == "epsilon" and schedule(1.0)[0] == 0:
        raise told.refused("prediction_type", name, "which says nothing of the sample where there is noise alone, "
                           "as rescale_betas_zero_snr makes it")  # fmt: skip
    return PREDICTS[name]


def spaced(
    told: Settings, count: int, steps: int, default: str, below: int = 0, rounds: bool = True, stop: float = 0.0
) -> Grid:
    """The grid of `timestep_spacing`; `below` is that of grids of one more step whose last is not stood on."""
    spacing, offset = (
        told.one_of("timestep_spacing", default, ("leading", "linspace", "trailing")),
        told.take("steps_offset", 0),
    )
    if spacing == "leading":
        return Leading(steps, count, offset, stop, below)
    return Linspace(steps, count, stop, below, rounds) if spacing == "linspace" else Trailing(steps, count, stop)


def ended(told: Settings, count: int, steps: int, clean: bool) -> Grid:
    """The grid of schedulers that end in the data or, unless `set_alpha_to_one`, whose default is `clean`, at index 0."""
    stop = 0.0 if told.take("set_alpha_to_one", clean) else 1 / count
    grid = spaced(told, count, steps, "leading", stop=stop)
    if stop and isinstance(grid, Leading) and grid.offset == 0:
        raise told.refused("set_alpha_to_one", False, "which with steps_offset=0 makes the last step one of no length")
    return grid


def clamped(told: Settings, clips: bool | None, implied: bool) -> tuple[Plan[Guidance], ...]:
    """The guess clamped at every step, where it is: `clips` is what `clip_sample` is unless said, None where there is none."""
    clip = told.take("clip_sample", clips) if clips is not None else False
    bound = float(told.take("clip_sample_range", 1.0)) if clips is not None else 1.0
    threshold = told.take("thresholding", False)
    share, most = told.take("dynamic_thresholding_ratio", 0.995), float(told.take("sample_max_value", 1.0))
    if threshold and most > 1:
        how: dict[str, Any] = {"name": "DynamicThreshold", "range": [-1.0, 1.0], "share": share, "most": most}
    elif threshold or clip:
        bound = 1.0 if threshold else bound
        how = {"name": "StaticThreshold", "range": [-bound, bound]}
    else:
        return ()
    return (plan("guidance", guidance, Guidance, how | {"implied": implied}),)


def ddpm(told: Settings, steps: int) -> Scheduled:
    schedule, count = table(told)
    fractions = {"fixed_small": 0.0, "fixed_small_log": 0.0, "fixed_large": 1.0, "fixed_large_log": 1.0}
    why = "which is a variance that the network learned, not yet read here"
    fraction = fractions[told.one_of("variance_type", "fixed_small", fractions, why)]
    return Scheduled(schedule, predicts(told, schedule), Index(count), spaced(told, count, steps, "leading"),
                     DDPM(fraction), clamped(told, True, implied=True), 1.0)  # fmt: skip


def ddim(told: Settings, steps: int) -> Scheduled:
    schedule, count = table(told)
    grid = ended(told, count, steps, True)
    return Scheduled(
        schedule, predicts(told, schedule), Index(count), grid, DDIM(), clamped(told, True, implied=False), 1.0
    )


def pndm(told: Settings, steps: int) -> Scheduled:
    schedule, count = table(told, rescales=False)
    grid = ended(told, count, steps, False)
    sampler = PLMS() if told.take("skip_prk_steps", False) else PNDM()
    return Scheduled(schedule, predicts(told, schedule), Index(count), grid, sampler, start=1.0)


def levels(
    told: Settings, schedule: Discrete, count: int, steps: int, below: int, rounds: bool = True, stop: float = 0.0
) -> tuple[Grid, Index]:
    """The grid of the schedulers that step in sigma / alpha, by indices or by levels between the table's ends.

    And what the network is told: those that know whole indices alone cut exponential levels to the lower one.
    """
    grid = spaced(told, count, steps, "linspace", below, rounds, stop)
    karras, even = told.take("use_karras_sigmas", False), told.take("use_exponential_sigmas", False)
    why = "whose levels are not among those here: karras and exponential are"
    told.must_be("use_beta_sigmas", False, why=why)
    if karras and even:
        raise told.refused("use_exponential_sigmas", True, "beside use_karras_sigmas")
    table = schedule.log_snrs()
    if (karras or even) and stop:
        raise told.refused("use_karras_sigmas" if karras else "use_exponential_sigmas", True, "where the last level is that "
                           "of index 0")  # fmt: skip
    if (karras or even) and not table[-1].isfinite():
        raise told.refused("rescale_betas_zero_snr", True, "with levels that have no end there")
    low, high = table[-1].item(), table[0].item()
    if karras:
        return Karras(steps, sigma_min=math.exp(-high / 2), sigma_max=math.exp(-low / 2)), Index(count, rounds)
    if even:
        return LogSNR(steps, low=low, high=high), Index(count, rounds, cuts=rounds)
    return grid, Index(count, rounds)


def multistep(told: Settings) -> None:
    """The settings that the multistep schedulers share, of which one value is done."""
    told.must_be("use_flow_sigmas", False, why="which is not read here")
    told.must_be("flow_shift", 1.0, 1, why="which is not read here")
    told.must_be("use_dynamic_shifting", False, why="which is not read here")
    told.must_be("time_shift_type", "exponential", why="which is not read here")


def dpm(told: Settings, steps: int) -> Scheduled:
    schedule, count = table(told)
    order, kind = told.take("solver_order", 2), told.take("algorithm_type", "dpmsolver++")
    samplers: dict[tuple[str, int], Sampler] = {
        ("dpmsolver++", 1): DDIM(), ("dpmsolver++", 2): DPMpp2M(),
        ("sde-dpmsolver++", 1): DPMpp1SDE(), ("sde-dpmsolver++", 2): DPMpp2MSDE(),
    }  # fmt: skip
    if (kind, order) not in samplers:
        raise told.refused("algorithm_type", kind, f"of solver_order={order}, which is not one of those here: "
                           "dpmsolver++ and sde-dpmsolver++ of 1 and 2; that of 3 lacks a factor there")  # fmt: skip
    told.must_be("solver_type", "midpoint", why="where the midpoint rule is what is done here")
    told.must_be("lower_order_final", True, why="where the last step to no noise is of first order here")
    told.take("euler_at_final", False)  # what the last step to no noise is anyway
    told.must_be("final_sigmas_type", "zero", why="where the last step goes to no noise here")
    told.must_be("use_lu_lambdas", False, why="whose levels are not among those here: karras and exponential are")
    told.must_be("lambda_min_clipped", -math.inf, "-inf", why="where no level is left out here")
    told.must_be("variance_type", None, why="which is a variance that the network learned, not yet read here")
    multistep(told)
    grid, index = levels(told, schedule, count, steps, below=1)
    if isinstance(grid, Karras) and isinstance(schedule, CosineBetas):
        raise told.refused("use_karras_sigmas", True, "where beta_schedule=squaredcos_cap_v2 has levels of its own")
    return Scheduled(schedule, predicts(told, schedule), index, grid, samplers[kind, order],
                     clamped(told, None, implied=True), 1.0)  # fmt: skip


def unipc(told: Settings, steps: int) -> Scheduled:
    schedule, count = table(told)
    order, rule = told.take("solver_order", 2), told.one_of("solver_type", "bh2", ("bh1", "bh2"))
    if order not in (1, 2):
        raise told.refused(
            "solver_order", order, "where 1 and 2 are done: from 3 on the order depends on the steps left"
        )
    told.must_be("predict_x0", True, why="where the guess is of the sample here")
    told.must_be("lower_order_final", True, why="where the order falls at the end here")
    told.must_be("disable_corrector", [], (), why="where every step is corrected here")
    told.must_be("solver_p", None, why="which is another scheduler inside this one")
    told.must_be("final_sigmas_type", "zero", why="where the last step goes to no noise here")
    for name in ("sigma_min", "sigma_max", "shift_terminal"):
        told.must_be(name, None, why="which is not read here")
    multistep(told)
    grid, index = levels(told, schedule, count, steps, below=1)
    return Scheduled(schedule, predicts(told, schedule), index, grid, UniPC(order, int(rule[-1]), plain_end=True),
                     clamped(told, None, implied=True), 1.0)  # fmt: skip


def deis(told: Settings, steps: int) -> Scheduled:
    schedule, count = table(told, rescales=False)
    order = told.take("solver_order", 2)
    if order not in (1, 2, 3):
        raise told.refused("solver_order", order, "where 1 to 3 are done")
    told.must_be("algorithm_type", "deis", why="where deis is what is done here")
    told.must_be("solver_type", "logrho", why="where the logarithm is what is integrated over here")
    if told.take("lower_order_final", True) and order > 1:
        raise told.refused("lower_order_final", True, "where the order does not depend on the steps that are left here")
    multistep(told)
    grid, index = levels(told, schedule, count, steps, below=1, stop=1 / count)
    return Scheduled(schedule, predicts(told, schedule), index, grid, DEIS(order, over="log_snr"),
                     clamped(told, None, implied=True), 1.0)  # fmt: skip


def starts(grid: Grid) -> float | None:
    """Schedulers in sigma / alpha start from unit noise where the grid leads, else from that of the first level."""
    return 1.0 if isinstance(grid, Leading) else None


def euler(told: Settings, steps: int) -> Scheduled:
    schedule, count = table(told)
    told.one_of("interpolation_type", "linear", ("linear", "log_linear"))  # between indices: they differ by 1e-5
    told.must_be("timestep_type", "discrete", why="where the network is told an index here")
    told.must_be("final_sigmas_type", "zero", why="where the last step goes to no noise here")
    for name in ("sigma_min", "sigma_max"):
        told.must_be(name, None, why="where the levels are those of the table here")
    grid, index = levels(told, schedule, count, steps, below=0, rounds=False)
    return Scheduled(schedule, predicts(told, schedule), index, grid, Euler(), start=starts(grid))


def euler_ancestral(told: Settings, steps: int) -> Scheduled:
    schedule, count = table(told)
    grid = spaced(told, count, steps, "linspace", rounds=False)
    return Scheduled(
        schedule, predicts(told, schedule), Index(count, rounds=False), grid, EulerAncestral(), start=starts(grid)
    )


def flow(told: Settings, steps: int) -> Scheduled:
    """A straight line from noise to data, walked by Euler's method, which on it is DDIM's."""
    count, factor = told.take("num_train_timesteps", 1000), told.take("shift", 1.0)
    if not 3 <= count <= MOST_LEVELS or not 0 < factor < 1e3:
        raise told.refused("shift", factor, f"of {count} levels, where more than 0 of 3 to {MOST_LEVELS} is done")
    for name in ("use_dynamic_shifting", "invert_sigmas", "use_karras_sigmas", "use_exponential_sigmas", "use_beta_sigmas",
                 "stochastic_sampling"):  # fmt: skip
        told.must_be(name, False, why="where False is what is done here")
    told.must_be("shift_terminal", None, why="where the last level is the least of the table here")
    for name in ("base_shift", "max_shift", "base_image_seq_len", "max_image_seq_len", "time_shift_type"):
        told.take(name, None, (float, int, str))  # of dynamic shifting alone
    return Scheduled(Rectified(), Flow(), Time(float(count)), FlowShift(steps, float(factor), count), DDIM())


FLOWS: dict[str, Callable[[Settings, int], Scheduled]] = {"FlowMatchEulerDiscreteScheduler": flow}
READERS: dict[str, Callable[[Settings, int], Scheduled]] = {
    "DDPMScheduler": ddpm,
    "DDIMScheduler": ddim,
    "PNDMScheduler": pndm,
    "DPMSolverMultistepScheduler": dpm,
    "UniPCMultistepScheduler": unipc,
    "DEISMultistepScheduler": deis,
    "EulerDiscreteScheduler": euler,
    "EulerAncestralDiscreteScheduler": euler_ancestral,
}
