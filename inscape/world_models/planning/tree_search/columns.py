"""What the arrays of a batched search hold, by name."""

from __future__ import annotations

from typing import Any

import numpy as np

from inscape.world_models.planning.kernels import tree as kernels
from inscape.world_models.planning.kernels.tree import Trees


class Columns:
    """The columns of `Trees` by name, as views: `visits [G]`, `q [G, A]`, `span [B, 2]`, …; see there."""

    def __init__(self, T: Trees, rule: tuple[Any, ...]) -> None:
        A, M = rule[kernels.ACTIONS], rule[kernels.PLAYERS]
        node, real, tree, tree_real = T.node, T.real, T.tree, T.tree_real
        self.parent, self.action, self.slot = node[:, kernels.PARENT], node[:, kernels.ACTION], node[:, kernels.SLOT]
        self.mover, self.ended, self.visits = node[:, kernels.MOVER], node[:, kernels.ENDED], node[:, kernels.VISITS]
        self.tried, self.child = np.split(node[:, kernels.TRIED :], [A], axis=1)
        self.discount = real[:, kernels.DISCOUNT]
        self.value, self.leaf, self.reward, self.q, self.prior, self.probability = np.split(
            real[:, kernels.VALUE :], [M, 2 * M, 3 * M, 3 * M + A, 3 * M + 2 * A], axis=1
        )
        self.count, self.trouble, self.where = (tree[:, k] for k in (kernels.COUNT, kernels.TROUBLE, kernels.WHERE))
        self.fresh = tree[:, kernels.FRESH :]
        self.span = tree_real[:, : kernels.RETURNS]
        self.noise = tree_real[:, kernels.RETURNS + M + A :]
