"""Skip-layer guidance."""

from .weakening import Weakened


class SLG(Weakened):
    """Away from the same network without some of its blocks.

        x_hat = guided + (scale - 1) (strong - weak),    weak: block(h) becomes h

    Adds to other guidance; it is mostly used at some noise levels alone, inside `Limited`.
    Hyung et al. 2024, https://arxiv.org/abs/2411.18664; Stability AI 2024, Stable Diffusion 3.5
    """

    space = "velocity"
    neutral = {"scale": 1.0}  # noqa: RUF012

    def change(self, backbone):
        return backbone.without(self.layers)
