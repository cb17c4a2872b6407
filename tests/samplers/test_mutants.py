"""The contracts notice: whatever term of whatever sampler is halved, one of them fails."""

import sys
from dataclasses import replace
from pathlib import Path

import pytest
from measures import exactly_affine
from truth import SAMPLERS

sys.path.insert(0, str(Path(__file__).parent))
from checks import broken
from mutants import ROOT, dependents, mutated, terms

FILES = [
    "adams_bashforth",
    "adams_moulton",
    "ancestral",
    "bounded_adams",
    "ddim",
    "ddpm",
    "deis",
    "dpm2",
    "dpm2_ancestral",
    "dpm_solver",
    "dpmpp_1_sde",
    "dpmpp_2m",
    "dpmpp_2m_sde",
    "dpmpp_3m",
    "dpmpp_3m_sde",
    "dpmpp_sde",
    "dpmpp_singlestep",
    "er_sde",
    "euler",
    "euler_ancestral",
    "euler_maruyama",
    "heun",
    "ipndm",
    "plms",
    "pndm",
    "predictor_corrector",
    "reverse_diffusion",
    "rk4",
    "rosenbrock",
    "sa_solver",
    "unipc",
]
SHARED = {
    "churn": ("Euler", "Heun"),
    "exponential": ("AdamsBashforth", "DPMSolver", "ERSDE"),
    "forms": ("AdamsBashforth", "AdamsMoulton"),
    "history": ("AdamsBashforth", "IPNDM"),
    "pseudo": ("IPNDM", "PLMS", "PNDM"),
    "renewal": ("DPMpp1SDE", "DPMpp2MSDE", "DPMpp3MSDE", "DPMppSDE"),
    "runge_kutta": ("AdamsBashforth", "Adaptive", "RK4"),
}
"""Coefficients that several samplers share, and those that are asked."""
ALL = (*FILES, *SHARED)
"""All of whose terms are halved; `jumps` and annealed Langevin have none."""
OWN_RULES = {"adaptive", "base", "consistency"}
"""What these compute is free, where a step ends or how far a jump goes, or counts and does not step."""
UP = "eta * sigma_s * (1 - (alpha_t / alpha_s * sigma_s / sigma_t) ** 2).clamp(min=0).sqrt()"
EQUIVALENT: dict[tuple[str, str, str], str] = {
    ("adams_moulton", "AdamsMoulton.step", "schedule.log_snr(t)"): "a bound on rounding, which no step here is near",
    ("adams_moulton", "AdamsMoulton.step", "schedule.log_snr(past[0].t)"): "the same",
    ("adams_moulton", "AdamsMoulton.step", "2 * form.longest"): "the same",
    ("bounded_adams", "BoundedAdams.step", "schedule.log_snr(t)"): "the same",
    ("bounded_adams", "BoundedAdams.step", "schedule.log_snr(past[0].t)"): "the same",
    ("bounded_adams", "BoundedAdams.step", "2 * form.longest"): "the same",
    ("ancestral", "split", "1"): "how much is drawn is free, as long as `down` makes up for it",
    ("ancestral", "split", "2"): "the same",
    ("ancestral", "split", UP): "the same: eta",
    ("ddim", "DDIM.transition", "2"): "how much is drawn is free",
    ("ddim", "DDIM.transition", UP.replace("eta", "self.eta").replace(".clamp(min=0)", "")): "the same: eta",
    (
        "dpmpp_2m",
        "DPMpp2M.step",
        "(denoiser.schedule.log_snr(s) - denoiser.schedule.log_snr(t)) / 2",
    ): "only the ratio of two steps counts",
    (
        "dpmpp_2m_sde",
        "DPMpp2MSDE.step",
        "(schedule.log_snr(s) - schedule.log_snr(t)) / 2",
    ): "only the ratio of two steps counts",
    ("dpm_solver", "DPMSolver.step", "2 / 3 * h"): "of fourth order in a step, in a method of third",
    ("dpmpp_singlestep", "DPMppS.step", "-2 / 3 * h"): "of fourth order in a step, in a method of third",
    ("euler_maruyama", "EulerMaruyama.transition", "2"): "another eta",
    ("euler_maruyama", "EulerMaruyama.transition", "eta ** 2 * sigma_t * h"): "another eta",
    ("forms", "OnXHat.weights", "sigma / alpha"): "to 0 only the ratios of the nodes count",
    ("rosenbrock", "Rosenbrock.step", "z * z"): "which part of J is solved exactly is free",
    ("rosenbrock", "Rosenbrock.step", "z * Jz"): "the same",
    ("rosenbrock", "Rosenbrock.step", "(z * Jz).sum(axes) / square"): "the same",
    ("rosenbrock", "Rosenbrock.step", "h * j"): "the same, to the order",
    ("rosenbrock", "Rosenbrock.step", "h ** 3 * phi(3, h * j)"): "multiplies J v - j v, which is zero on a line",
    ("rosenbrock", "Rosenbrock.step", "phi_3 * (Jv - j * v)"): "the same",
    ("euler_maruyama", "EulerMaruyama.transition", "(schedule.log_snr(s) - schedule.log_snr(t)) / 2"): "another eta",
    (
        "predictor_corrector",
        "PredictorCorrector.step",
        "z.square().mean(rest, True) / eps.square().mean(rest, True)",
    ): "only with norms",
    (
        "predictor_corrector",
        "PredictorCorrector.step",
        "2 * self.snr ** 2 * ratio * torch.ones_like(sigma)",
    ): "another snr",
    (
        "sa_solver",
        "SASolver.step",
        "(again - x_t) / onto(x_t, schedule(t)[1])[0]",
    ): "how far the corrector goes: the order along a whole led way tells, in test_stochastic",
    ("reverse_diffusion", "ReverseDiffusion.transition", "(1 - a) ** 2"): "of second order in h, in a method of first",
}
"""(file, function, term): why no contract can tell."""
NAMES = {type(s).__name__ for s in SAMPLERS if exactly_affine(s)}


def concerned(file):
    """The instances whose class is in the file or imports it, its own first; of what many share, few."""
    known = [f"reverie.samplers.{name}" for name in dependents(file)]
    found = [s for s in SAMPLERS if type(s).__module__ in known and type(s).__name__ in SHARED.get(file, NAMES)]
    numbers = [(s, name) for s in found for name in ("eta", "tau") if isinstance(getattr(s, name, None), float)]
    quiet = [replace(s, **{name: value}) for s, name in numbers for value in (0.0, 0.6)]
    found = list(dict.fromkeys(quiet + found))
    return sorted(found, key=lambda s: type(s).__module__ != known[0])


@pytest.mark.parametrize("file", ALL)
def test_a_halved_term_breaks_a_contract(file):
    instances, survivors = concerned(file), []
    for which, (function, term) in enumerate(terms(file)):
        if (file, function, term) in EQUIVALENT:
            continue
        with mutated(file, which, instances) as halved:
            if not broken(halved):
                survivors.append((file, function, term))
    assert not survivors


@pytest.mark.parametrize("file", ALL)
def test_without_a_change_no_contract_is_broken(file):
    with mutated(file, -1, concerned(file)) as same:
        assert [(s, broken([s])) for s in same if broken([s])] == []


def test_what_is_called_equivalent_is_there():
    for file, function, term in EQUIVALENT:
        assert (function, term) in terms(file)


def test_every_file_with_terms_is_tried():
    """A new sampler must come here, or join those whose rules are their own."""
    assert {path.stem for path in ROOT.glob("*.py") if terms(path.stem)} - set(ALL) == OWN_RULES
