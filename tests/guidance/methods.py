"""What the tests of guidance share: two classes of which all is known, and every method around them."""

import torch
from torch import nn
from truth import two_classes

from reverie import guidance
from reverie.core.denoisers import Denoiser, Estimate, Preconditioned
from reverie.core.schedules import Cosine
from reverie.discover import Plan, discover, variants
from reverie.guidance.base import Guidance
from reverie.guidance.extrapolation import Extrapolated
from reverie.guidance.interval import Limited

D = two_classes(Cosine())
STRONG = D.given(weights=torch.tensor([0.0, 1.0]))
METHODS = discover(guidance, Guidance)


class Network(nn.Module):
    """Small, and knows how to be weaker."""

    def __init__(self, gain=1.0):
        super().__init__()
        self.gain = gain

    def forward(self, x, c_noise):
        return self.gain * x.sin() * c_noise.reshape(len(x), *[1] * (x.ndim - 1))

    def blind(self, layers):
        return Network(0.7)

    def without(self, layers):
        return Network(0.5)


def log_prob(x, t):
    return torch.nn.functional.logsigmoid(3 * x.flatten(1).sum(1))


def parts(schedule=None):
    """One of everything that guidance is built around."""
    d = D if schedule is None else two_classes(schedule)
    strong, other = (d.given(weights=torch.tensor(w)) for w in ([0.0, 1.0], [1.0, 0.0]))
    guided = Extrapolated(strong, d, scale=2.0)
    return {"strong": strong, "weak": d, "denoiser": guided, "others": [other], "range": (-1.0, 1.0),
            "log_prob": log_prob}  # fmt: skip


def network(schedule=None):
    return Preconditioned(Network(), schedule or Cosine())


def built(cls, schedule=None, **options):
    """One of a class, with these options, and what it is where it changes nothing."""
    around = parts(schedule)
    if hasattr(cls, "change"):
        around["denoiser"] = network(schedule)
    names = Plan(cls).parts
    own = around["strong"] if "strong" in names or cls is Limited else around["denoiser"]
    return cls(**{name: around[name] for name in names} | options), own


def every(schedule=None):
    """All variants of all methods."""
    strong, weak = (parts(schedule)[name] for name in ("strong", "weak"))
    found = variants(guidance, Guidance, strong, weak)
    nets = variants(guidance, Guidance, network(schedule), weak)
    return found + [g for g in nets if type(g) not in map(type, found)]


class Clipped(Denoiser):
    """A guess that is clipped, with a noise that is not."""

    def __init__(self, denoiser, bound=0.5):
        super().__init__()
        self.denoiser, self.schedule, self.bound = denoiser, denoiser.schedule, bound

    def forward(self, x_t, t):
        estimate = self.denoiser(x_t, t)
        return Estimate(estimate.x_hat.clamp(-self.bound, self.bound), estimate.eps(x_t, *self.schedule(t)))


class Fixed(Denoiser):
    """The same guess whatever it is asked."""

    def __init__(self, x_hat, schedule=None):
        super().__init__()
        self.x_hat, self.schedule = x_hat, schedule or Cosine()

    def forward(self, x_t, t):
        return Estimate(self.x_hat.to(x_t.dtype).expand(x_t.shape))


class Asked(Denoiser):
    """Counts its calls and the rows of each."""

    def __init__(self):
        super().__init__()
        self.schedule, self.rows = Cosine(), []

    def forward(self, x_t, t, label):
        self.rows.append(len(x_t))
        return Estimate(x_t * label[:, None] + t.reshape(-1, 1).float())
