"""The doctor passes a healthy run, and names each fault that was planted into a copy of it."""

import json
import shutil
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file

from reverie.cli import main
from reverie.core import parameterizations
from reverie.doctor.conditions import Conditions, informed
from reverie.doctor.examining import as_dict, examinations, examine, faults
from reverie.doctor.inverse import Inverse
from reverie.doctor.learning import Learning
from reverie.doctor.measures import cosines, linear_error, spectrum
from reverie.doctor.patient import Patient
from reverie.errors import ReverieError
from reverie.recipes.digits import Digits
from reverie.systems.base import shipped

LABELS = "conditions.label.weight"
NORM = "down.0.stages.0.residual.norm_1"


@pytest.fixture(scope="session")
def healthy(tmp_path_factory):
    """The shipped digits as a run folder: its own weights as the average, and raw ones a thousandth beside them."""
    folder = tmp_path_factory.mktemp("doctor") / "healthy"
    shutil.copytree(shipped("digits"), folder)
    ema = {name: tensor.float() for name, tensor in load_file(folder / "weights" / "ema.safetensors").items()}
    generator = torch.Generator().manual_seed(0)
    raw = {name: t + 1e-3 * t.std(correction=0) * torch.randn(t.shape, generator=generator) for name, t in ema.items()}
    for name, tensors in (("ema", ema), ("raw", raw)):
        save_file(tensors, folder / "weights" / f"{name}.safetensors")
    reports = [{"seen": 64 * i, "loss": 1 / i + 0.3, "grad_norm": 1.0, "learning_rate": 1e-3} for i in range(1, 41)]
    (folder / "log.jsonl").write_text("".join(json.dumps(report) + "\n" for report in reports))
    return folder


@pytest.fixture(scope="session")
def short(tmp_path_factory):
    """A run of our own with checkpoints, too short to be any good."""
    recipe = Digits(samples=256, batch=32, dtype="float32", network="unet(levels=(32, 32), blocks=1)", checkpoints=2,
                    snapshots=1)  # fmt: skip
    return recipe.run(tmp_path_factory.mktemp("doctor") / "short")


@pytest.fixture
def copy(healthy, tmp_path):
    return Path(shutil.copytree(healthy, tmp_path / "run"))


def edited(run, name, **changes):
    path = run / name
    found = json.loads(path.read_text())
    for key, value in changes.items():
        place = found
        *above, last = key.split("__")
        for part in above:
            place = place[part]
        place[last] = value
    path.write_text(json.dumps(found))


def reweighted(run, change, *names):
    for name in names or ("ema", "raw"):
        path = run / "weights" / f"{name}.safetensors"
        tensors = load_file(path)
        change(tensors)
        save_file(tensors, path)


def found(run, *only):
    return [finding for one in examine(Patient(run), only) for finding in one.findings]


def said(run, *only, verdict="fault"):
    return " | ".join(f"{finding.said} {finding.names}" for finding in found(run, *only) if finding.verdict == verdict)


@pytest.mark.slow
def test_a_healthy_run_passes_every_examination(healthy):
    examined = list(examine(Patient(healthy)))
    assert [one.name for one in examined] == list(examinations())
    verdicts = {finding.verdict for one in examined for finding in one.findings}
    assert verdicts == {"passed"}, [f for one in examined for f in one.findings if f.verdict != "passed"]
    assert faults(examined) == 0 and json.dumps(as_dict("run", examined), allow_nan=False)


@pytest.mark.slow
def test_the_network_is_found_to_fit_another_prediction_than_model_json_says(copy):
    edited(copy, "model.json", parameterization={"name": "Velocity"})
    assert "fits Karras(std_data=0.75" in said(copy, "prediction") and "model.json says Velocity()" in said(
        copy, "prediction"
    )
    assert "than a linear guess" in (told := said(copy, "denoising")) or "mean of the data" in told
    assert "parameterization Velocity() where recipe.json trained Karras" in said(copy, "origin")


def test_a_prediction_that_does_not_even_load_is_still_named(copy):
    edited(copy, "model.json", parameterization={"name": "Noise"})
    assert "does not load" in said(copy, "files") and "fits Karras(std_data=0.75" in said(copy, "prediction")
    assert "singular at t = 1" in said(copy, "inverse")


@pytest.mark.slow
def test_a_wrong_noise_input_and_a_wrong_schedule_are_named(copy):
    edited(copy, "model.json", noise_input={"name": "Time", "scale": 1000.0})
    assert "Cosine() with LogSNR" in said(copy, "prediction")
    edited(copy, "model.json", noise_input={"name": "LogSNR"}, schedule={"name": "ScaledLinearBetas"})
    assert "schedule ScaledLinearBetas" in said(copy, "origin")
    assert "data are left in x_1" in said(copy, "sampling", verdict="warning")


def test_a_lost_average_is_told_from_a_stale_and_from_a_copied_one(copy):
    first = Patient(copy).initial.state_dict()
    raw = load_file(copy / "weights" / "raw.safetensors")
    for tensors, word in (
        (first, "still the initial weights"),
        (raw, "byte for byte"),
        ({name: torch.lerp(first[name], raw[name], 0.6) for name in raw}, "stale"),
    ):
        save_file(tensors, copy / "weights" / "ema.safetensors")
        assert word in said(copy, "average"), word


def test_half_loaded_weights_are_named_tensor_by_tensor(copy):
    first = Patient(copy).initial.state_dict()
    lost = [name for name in first if name.startswith("middle.")]
    reweighted(copy, lambda tensors: tensors.update({name: first[name] for name in lost}))
    [ema, raw] = found(copy, "fresh")
    assert set(ema.names) == set(raw.names) == set(lost)
    assert "half-loaded" in ema.said and ema.verdict == "fault"
    (copy / "recipe.json").unlink()  # without the seed, zeros and ones still show
    assert "half-loaded" in said(copy, "fresh") and "norm" in said(copy, "fresh")


@pytest.mark.parametrize("scale", [1.0, 255.0])
def test_data_that_are_not_normalised_are_named(copy, scale):
    edited(copy, "model.json", codec={"name": "Standard", "mean": [0.0], "std_raw": [scale]})
    assert "not normalised" in said(copy, "encoding")


def test_other_data_than_those_of_the_run_are_named(copy):
    edited(copy, "model.json", about__data="0" * 64)
    assert "different data" in said(copy, "origin")
    edited(copy, "recipe.json", data__fingerprint="0" * 64)
    assert "not those of the run" in said(copy, "origin")


def test_a_condition_that_is_ignored_is_named_and_shuffled_labels_are_suspected(copy):
    reweighted(copy, lambda t: t.update({LABELS: t[LABELS].mean(0).expand_as(t[LABELS]).contiguous()}))
    assert "condition is ignored" in said(copy, "conditions")
    patient = Patient(copy)
    assert informed(patient) > 20
    order = torch.randperm(len(patient.data), generator=torch.Generator().manual_seed(0))
    patient.data.values["label"] = patient.data.values["label"][order]
    [warning] = [f for f in Conditions().examine(patient) if "ignored" in f.said]
    assert warning.verdict == "warning" and "labels look shuffled" in warning.said


def test_classes_in_another_order_are_named(copy):
    reweighted(copy, lambda t: t.update({LABELS: torch.cat([t[LABELS][:10].roll(1, 0), t[LABELS][10:]])}))
    assert "what the data call 0 is denoised best as 1" in said(copy, "conditions")


@pytest.mark.slow
def test_a_null_condition_that_was_never_trained_is_named(copy):
    first = Patient(copy).initial.state_dict()[LABELS]
    reweighted(copy, lambda t: t.update({LABELS: torch.cat([t[LABELS][:10], first[10:]])}))
    assert "null condition was never trained" in said(copy, "conditions")
    reweighted(copy, lambda t: t.update({LABELS: torch.cat([t[LABELS][:10], 3 * first[:1]])}))
    assert "null condition was never trained" in said(copy, "conditions")
    edited(copy, "model.json", conditioner__dropout=0.0)
    assert "null condition are refused" in said(copy, "conditions", verdict="passed")


def test_a_damaged_checkpoint_and_weights_of_another_time_are_named(short, tmp_path):
    run = Path(shutil.copytree(short, tmp_path / "run"))
    assert said(run, "files") == ""
    reweighted(run, lambda t: t.update({LABELS: t[LABELS] + 0.01}), "ema")
    assert "ema.safetensors is not what training saved" in said(run, "files")
    path = sorted((run / "checkpoints").iterdir())[-1] / "raw.safetensors"
    content = bytearray(path.read_bytes())
    content[-10] ^= 1
    path.write_bytes(content)
    assert f"checkpoints/{path.parent.name} is damaged" in said(run, "files")
    assert (
        "than a linear guess" in (told := said(run, "denoising")) or "mean of the data" in told
    )  # of 256 samples seen


def test_numbers_that_are_not_finite_missing_tensors_and_missing_files_are_named(copy):
    reweighted(copy, lambda t: t[LABELS].__setitem__((3, 3), float("nan")), "raw")
    assert f"not finite in {LABELS}" in said(copy, "files")
    reweighted(copy, lambda t: t.pop(LABELS), "ema")
    assert f"missing: {LABELS}" in said(copy, "files") and "could not be examined" in said(
        copy, "denoising", verdict="skipped"
    )
    (copy / "weights" / "ema.safetensors").unlink()
    assert "ema.safetensors is missing" in said(copy, "files")
    (copy / "weights" / "raw.safetensors").write_bytes(b"cut short")
    assert "nothing was loaded" in said(copy, "files")


@pytest.mark.slow
def test_a_dead_part_is_named(copy):
    reweighted(copy, lambda t: t.update({f"{NORM}.{k}": 0 * t[f"{NORM}.{k}"] for k in ("weight", "bias")}))
    told = said(copy, "learning")
    assert "no gradient reaches" in told and f"{NORM.rsplit('.', 1)[0]}.conv_1.weight" in told


def test_a_network_that_cannot_learn_one_batch_is_named(short):
    patient = Patient(short)
    patient.initial.head.register_forward_hook(lambda m, _, out: out.detach() + 0 * m.weight.sum())
    told = [f.said for f in Learning().examine(patient) if f.verdict == "fault"]
    assert any("cannot learn one batch" in one and "fresh weights" in one for one in told)
    assert any("whatever its weights" in one for one in told)


def test_a_parameterization_that_contradicts_itself_is_named(short):
    class Turned(parameterizations.Velocity):
        def target(self, alpha, sigma):
            return sigma, -alpha

    patient = Patient(short)
    patient.parameterization = Turned()
    assert any("does not give x back" in f.said for f in Inverse().examine(patient))


@pytest.mark.parametrize(
    ("change", "says"),
    [
        (lambda i, r: r | ({"loss": float("nan")} if i == 20 else {}), "line 21"),
        (lambda i, r: r | {"loss": 0.3 + abs(i - 20) / 20}, "rises at the end"),
        (lambda i, r: r | {"loss": 1.0 + 0.01 * (i % 3)}, "stayed where it began"),
        (lambda i, r: r | {"learning_rate": 0.0}, "learning rate never left 0"),
        (lambda i, r: r | {"grad_norm": 0.0}, "gradients are zero"),
    ],
    ids=["nan", "rising", "plateau", "rate", "gradients"],
)
def test_a_log_of_bad_training_is_named(change, says, copy):
    reports = [json.loads(line) for line in (copy / "log.jsonl").read_text().splitlines()]
    (copy / "log.jsonl").write_text("".join(json.dumps(change(i, r)) + "\n" for i, r in enumerate(reports)))
    assert says in said(copy, "log")


def test_the_command_fails_with_a_fault_and_speaks_to_machines(copy, capsys):
    for status in (0, 1):
        with pytest.raises(SystemExit) as stop:
            main(["doctor", str(copy), "--json", "--only", "files", "--only", "fresh"])
        told = capsys.readouterr()
        report = json.loads(told.out)
        assert stop.value.code == status and (report["counts"]["fault"] > 0) == bool(status)
        assert "examined fresh in" in told.err
        reweighted(copy, lambda t: t.update({LABELS: t[LABELS] * float("inf")}), "ema")
    with pytest.raises(SystemExit):
        main(["doctor", str(copy), "--only", "fils"])
    assert "Did you mean 'Files'" in capsys.readouterr().err


def test_what_is_no_run_is_refused():
    with pytest.raises(ReverieError, match="unknown run"):
        Patient("nowhere")


def test_the_linear_reference_is_the_error_of_the_best_linear_guess():
    generator = torch.Generator().manual_seed(0)
    mix = torch.randn(6, 6, generator=generator, dtype=torch.float64)
    z = (torch.randn(20_000, 6, generator=generator, dtype=torch.float64) @ mix).reshape(-1, 1, 6)
    alpha, sigma = torch.tensor(0.6, dtype=torch.float64), torch.tensor(0.8, dtype=torch.float64)
    eps = torch.randn(z.shape, generator=generator, dtype=torch.float64)
    x, x_t = z[:, 0], (alpha * z + sigma * eps)[:, 0]
    fit = torch.linalg.lstsq(x_t, x).solution
    truth = (x_t @ fit - x).square().mean().item()
    assert linear_error(spectrum(z), alpha, sigma) == pytest.approx(truth, rel=0.01)
    assert cosines(7) @ cosines(7).T == pytest.approx(torch.eye(7).numpy(), abs=1e-12)
    few = z[:10]  # fewer than the covariance needs: the cosine basis, whose total variance is the same
    assert spectrum(few).mean().item() == pytest.approx(few.var(0).mean().item())
