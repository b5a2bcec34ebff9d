"""Stable-Baselines3's on-policy algorithms made to stand where ours do: the same weights, the same batch."""

from __future__ import annotations

import torch
from stable_baselines3.common.logger import Logger


def trained_on_the_same(theirs, learner, batch):
    """Gives their algorithm the weights of our learner, one hidden layer each, and its batch, and lets it train on it.

    Returns:
        Pairs of layers, ours as they were and theirs as they are now.
    """
    network, policy, size = learner.network, theirs.policy, len(batch)
    pairs = [
        (network.actor[0], policy.mlp_extractor.policy_net[0]),
        (network.critic[0], policy.mlp_extractor.value_net[0]),
        (network.actor[2], policy.action_net),
        (network.critic[2], policy.value_net),
    ]
    buffer = theirs.rollout_buffer
    buffer.reset()
    with torch.no_grad():
        for mine, their in pairs:
            their.weight.copy_(mine.weight)
            their.bias.copy_(mine.bias)
        buffer.values[:] = network.values(batch.features).numpy().reshape(size, 1)
    buffer.observations[:] = batch.features.numpy().reshape(size, 1, -1)
    buffer.actions[:] = batch.actions.numpy().reshape(size, 1, 1)
    buffer.log_probs[:] = batch.old_log_probs.numpy().reshape(size, 1)
    buffer.advantages[:] = batch.advantages.numpy().reshape(size, 1)
    buffer.returns[:] = batch.returns.numpy().reshape(size, 1)
    buffer.full = True
    theirs.set_logger(Logger(None, []))
    theirs.train()
    return pairs


def assert_same_layers(pairs):
    for mine, their in pairs:
        assert torch.allclose(mine.weight, their.weight, atol=1e-6)
        assert torch.allclose(mine.bias, their.bias, atol=1e-6)
