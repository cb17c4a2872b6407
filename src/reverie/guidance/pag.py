"""Perturbed-attention guidance."""

from .weakening import Weakened


class PAG(Weakened):
    """Away from the same network in which positions of some blocks attend to themselves alone.

        x_hat = guided + (scale - 1) (strong - weak),    weak: softmax(q k^T) v becomes v

    The paper's scale is this one less 1. Needs no condition, and adds to guidance that does.
    Ahn et al. 2024, https://arxiv.org/abs/2403.17377
    """

    space = "noise"
    neutral = {"scale": 1.0}  # noqa: RUF012

    def change(self, backbone):
        return backbone.blind(self.layers)
