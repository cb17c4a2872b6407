"""The system that enlarges pictures: a diffusion model of what a smaller picture leaves out."""

import torch
from torch import Tensor

from ..codecs.detail import Detail, enlarged
from ..core.denoisers import Cast
from ..core.noise import Seeded
from ..errors import ReverieError
from .diffusion import Diffusion

NOTHING = "this model enlarges pictures and knows nothing else: reverie edit upscale RUN --image PICTURE"


class SuperResolution(Diffusion):
    """A diffusion model of detail z, beside the enlarged picture m in the network's `maps`, told the factor and the noise.

        y -> m = enlarge_f(y);    z ~ p(z | m, f, n);    x = m + s_f(m) z

    Saharia et al. 2021, Image super-resolution via iterative refinement, https://arxiv.org/abs/2104.07636, in the residual
    form of Li et al. 2021, https://arxiv.org/abs/2104.14951. `codec` is a `Detail`; the conditions are `factor` and `noise`,
    the deviation in levels of 255. `reverie.editing.upscale` does pictures of any size.
    """

    codec: Detail

    @classmethod
    def beside(cls, shape):
        return {"maps": 2 * shape[0]}

    def batches(self, n=16, **options):
        raise ReverieError(NOTHING)

    def generate(self, n=16, **options):
        raise ReverieError(NOTHING)

    def enlarge(self, small: Tensor, factor: int, seed: int = 0, sample_steps: int | None = None) -> Tensor:
        """uint8 (N, C, f H, f W) of small pictures uint8 (N, C, H, W) without noise, in one batch; for large ones see above."""
        m = enlarged(self.codec.encode(small), factor).to(self.device)
        maps, source = self.codec.seen(m, factor), Seeded.at(seed, range(len(small)))
        values = self.values(range(len(small)), {"factor": factor, "noise": 0.0})
        said = {key: value.to(self.device) for key, value in self.conditioner(values).items()}
        denoiser = Cast(self.denoiser, getattr(torch, self.dtype)).given(maps=maps, **said)
        times, unit = self.grid(None, sample_steps)(self.denoiser.schedule), source.draw(m)
        z = self.start(unit, times[0])
        for state in self.defaults.sampler.trajectory(denoiser, z, times, source):
            z = state.x_t
        return self.codec.decode(self.codec.picture(z, m, factor).cpu())
