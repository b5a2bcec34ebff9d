"""What a language model keeps of an old task while it learns a new one: plain fine-tuning beside elastic weights (EWC).

`python -m benchmarks.language_forgetting [--seeds 10] [--strength 1 10 100]`

Two firm 4×4 lakes with other holes, starts and goals. A planner that errs now and then (β) shows decisions of the old
one; the model is fine-tuned on them, the diagonal empirical Fisher information of these decisions is remembered, and
the model is fine-tuned on the new one until its policy is worth `--gain` of what the new lake's planner is, with and
without the penalty: equal gain. Kept is the exact value of the policy in the old lake, in shares of what it was worth
before, and the perplexity of the old decisions' answers.
"""

from __future__ import annotations

import argparse
import os
import time
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch

from inscape import make_agent, resolve_task
from inscape.agents import ElasticWeights, empirical_fisher
from inscape.agents.llm.demonstrations import planner_demonstrations
from inscape.agents.llm.policy import Scorebook
from inscape.agents.llm.scoring import log_softmax
from inscape.agents.llm.stages.pretraining import Packed, Text, pack, perplexity, pretrain, to_text, token_losses
from inscape.agents.llm.text import Prompter, format_answer
from inscape.world_models.planning.dynamic_programming import policy_evaluation, value_iteration

OLD, NEW = "SFFF/FHFH/FFFH/HFFG", "FFHG/HFFF/FFHF/SFFH"
SIZES = {"hidden_size": 32, "layers": 1, "heads": 2, "clone_steps": 0, "threads": 1}


@dataclass(frozen=True, eq=False)
class Lake:
    """One lake: its task, its prompts, and what a planner shows of it."""

    task: Any
    prompter: Prompter
    texts: list[Text]


def lake(rows: str, tokenizer: Any, decisions: int, beta: float, seed: int) -> Lake:
    """Returns a lake with `decisions` decisions of its planner, as prompts with answers."""
    task = resolve_task("FrozenLake-firm", {"map": rows})
    rng = np.random.default_rng([seed, 8])
    shown = planner_demonstrations(task, decisions, beta, 1, rng)
    chosen = rng.permutation(len(shown))[:decisions]
    prompter, world = Prompter(task, list_actions=False), task.world
    assert world is not None
    names = world.actions if not callable(world.actions) else task.action_names
    texts = []
    for prompt, probs in zip(prompter.prompts(shown.observations[chosen]), shown.targets[chosen], strict=True):
        action = int(rng.choice(len(probs), p=probs))
        texts.append(to_text(tokenizer, [(prompt, False), (format_answer(names[action]), True)]))
    return Lake(task, prompter, texts)


def worth(agent: Any, where: Lake) -> float:
    """Returns the exact value of the policy from the lake's start, in shares of the optimum."""
    world: Any = where.task.world
    dynamics = world.dynamics()
    mask = dynamics.legal | ~dynamics.legal.any(1, keepdims=True)
    book = Scorebook(agent.policy, 64, values=False)
    rows = book.rows(where.prompter.prompts(world.observe(dynamics.states)))
    policy = np.exp(log_softmax(book.scores[rows], mask))
    found = dynamics.initial @ policy_evaluation(world, policy, world.gamma)
    return float(found / (dynamics.initial @ value_iteration(world, world.gamma).values))


def answers(texts: list[Text]) -> Packed:
    """Returns the decisions in rows of their own."""
    longest = max(len(text.tokens) for text in texts)
    return pack(texts, longest)


def tuned(agent: Any, new: Lake, gain: float, steps: int, penalty: Any) -> int:
    """Fine-tunes until the new lake is worth `gain`; returns the gradient steps that took."""
    taken = 0
    for metrics in pretrain(agent, new.texts, steps, length=32, batch=32, learning_rate=1e-3, penalty=penalty):
        taken = int(metrics["pretrain/steps"])
        if worth(agent, new) >= gain:
            break
    return taken


def one_seed(given: argparse.Namespace, seed: int) -> list[dict[str, float]]:
    """Returns what was kept and gained: by plain fine-tuning first, then for each strength of the springs."""
    agent: Any = make_agent("llm", resolve_task("FrozenLake-firm"), seed=seed, settings=SIZES)
    old, new = (lake(rows, agent.policy.tokenizer, given.decisions, given.beta, seed) for rows in (OLD, NEW))
    for _ in pretrain(agent, old.texts, given.first, length=32, batch=32, learning_rate=2e-3):
        pass
    weights, before, old_rows = agent.policy.weights(), worth(agent, old), answers(old.texts)
    singles = [answers([text]) for text in old.texts]

    def losses(row: Packed) -> torch.Tensor:
        return token_losses(agent.policy.model, row).sum(1)

    fisher = empirical_fisher(agent.policy, losses, singles)
    first = perplexity(agent.policy.model, old_rows)
    rows = []
    for strength in (0.0, *given.strength):
        agent.policy.load_weights(weights)
        elastic = ElasticWeights(strength / sum(sum(text.weights) for text in new.texts))
        elastic.remember(agent.policy, fisher)
        steps = tuned(agent, new, given.gain, given.most, elastic.penalty if strength else None)
        rows.append({
            "strength": strength, "kept": worth(agent, old) / before, "gained": worth(agent, new), "steps": steps,
            "before": before, "perplexity": perplexity(agent.policy.model, old_rows), "first": first,
        })  # fmt: skip
    return rows


def main() -> None:
    torch.set_num_threads(1)
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seeds", type=int, default=10)
    parser.add_argument(
        "--strength", type=float, nargs="*", default=[1.0, 10.0, 100.0], help="1: the sum of both losses"
    )
    parser.add_argument("--decisions", type=int, default=300, help="shown of each lake")
    parser.add_argument("--beta", type=float, default=30.0, help="rationality of the planner")
    parser.add_argument("--gain", type=float, default=0.8, help="worth of the new lake at which tuning ends")
    parser.add_argument("--first", type=int, default=300, help="gradient steps on the old lake")
    parser.add_argument("--most", type=int, default=1000, help="gradient steps on the new lake at most")
    given = parser.parse_args()
    began = time.process_time()
    found = [one_seed(given, seed) for seed in range(given.seeds)]
    spent = (time.process_time() - began) / given.seeds
    print(f"{given.seeds} seeds, load {os.getloadavg()[0]:.1f}, {spent:.0f} s of processor time a seed")
    print("| strength | old kept (least) | new, of its optimum (least) | steps | old perplexity, before → after |")
    print("|---|---|---|---|---|")
    for k, strength in enumerate((0.0, *given.strength)):
        table = {name: np.array([rows[k][name] for rows in found]) for name in found[0][k]}
        kept, gained = (f"{table[n].mean():.3f} ({table[n].min():.3f})" for n in ("kept", "gained"))
        change = f"{table['first'].mean():.3f} → {table['perplexity'].mean():.3f}"
        print(f"| {strength:g} | {kept} | {gained} | {table['steps'].mean():.0f} | {change} |")


if __name__ == "__main__":
    main()
