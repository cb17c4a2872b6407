"""The picture of docs/score.md, samples on their way back for three SDEs of one family: python -m benchmarks.score"""

from pathlib import Path

import torch
from torch import Tensor

from reverie.core import sdes
from reverie.core.noise import Seeded
from reverie.core.oracles import Mixture
from reverie.core.schedules import Cosine

IMAGE = Path(__file__).parent.parent / "docs" / "images" / "score.png"
ETAS = {0.0: "eta = 0, the flow", 0.5: "eta = 0.5", 1.0: "eta = 1, Anderson's reversal"}


def paths(d: Mixture, times: Tensor, eta: float, count: int) -> Tensor:
    """(len(times), count): Euler's steps, from samples of the first marginal; the same start for every eta."""
    noise = Seeded.at(0, range(count))
    x = [d.sample(noise, times[0])]
    for t, s in zip(times, times[1:]):
        drift, diffusion = sdes.backward(d, x[-1], t, eta)
        x.append(x[-1] + (s - t) * drift + (t - s).sqrt() * diffusion * noise.draw(x[-1]))
    return torch.cat(x, 1).T


@torch.no_grad()
def main() -> None:
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot as plt

    d = Mixture(Cosine(), torch.tensor([0.4, 0.6]), torch.tensor([[-1.0], [0.8]]), torch.tensor([0.3, 0.2]))
    times = torch.linspace(0.95, 0.02, 301, dtype=torch.float64)
    places = torch.linspace(-2.5, 2.5, 200, dtype=torch.float64)
    density = torch.stack([d.log_prob(places[:, None], t).exp() for t in times], 1)
    density = density / density.amax(0)
    fig, axes = plt.subplots(1, len(ETAS), figsize=(11, 3.4), sharey=True)
    for axis, (eta, title) in zip(axes, ETAS.items()):
        axis.contourf(times, places, density, levels=10, cmap="Blues", vmax=1.6)
        axis.invert_xaxis()
        x = paths(d, times, eta, 1000)
        axis.plot(times, x[:, :14], lw=0.7, color="black")
        p = d.cdf(x[-1][:, None], times[-1]).sort(dim=0).values[:, 0]
        gap = (p - torch.linspace(0, 1, len(p), dtype=torch.float64)).abs().max().item()
        axis.set_title(f"{title} (gap of 1000 samples: {gap:.3f})", fontsize=8)
        axis.set_xlabel("t", fontsize=8)
        axis.tick_params(labelsize=7)
        print(f"{title}: {gap:.3f}")
    axes[0].set_ylabel("x", fontsize=8)
    fig.tight_layout()
    fig.savefig(IMAGE, dpi=72)


if __name__ == "__main__":
    main()
