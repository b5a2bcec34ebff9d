"""Decisions per second of a language model choosing among eight actions: ours beside transformers, in one run.

    python benchmarks/llm_speed.py [--seconds 5] [--threads 1]

The model is small and untrained (GPT-2-shaped, 4 layers × 256, 512 tokens), the prompt 128 tokens long, each of the
eight actions 4 tokens. All routes give the same probabilities, which is checked. The last row is the agent in
FrozenLake8x8, where prompts come back and each distinct one is computed once.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable

import numpy as np
import torch
from rich.console import Console
from rich.table import Table
from transformers import DynamicCache, GPT2Config, GPT2LMHeadModel

from inscape.agents.llm import LanguageModelAgent
from inscape.agents.llm.scoring import answer_tree, full_scores, tree_scores
from inscape.envs.tasks.resolve import resolve_task

VOCABULARY, PROMPT, ACTIONS, LENGTH, BATCH = 512, 128, 8, 4, 16


def rate(work: Callable[[], int], seconds: float) -> float:
    """Median of three rates, in units of work per second."""
    work()
    rates = []
    for _ in range(3):
        done, start = 0, time.perf_counter()
        while time.perf_counter() - start < seconds / 3:
            done += work()
        rates.append(done / (time.perf_counter() - start))
    return float(np.median(rates))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seconds", type=float, default=5.0, help="time spent on each row")
    parser.add_argument("--threads", type=int, default=1, help="threads of torch")
    args = parser.parse_args()
    torch.set_num_threads(args.threads)
    torch.manual_seed(0)
    config = GPT2Config(
        vocab_size=VOCABULARY, n_positions=512, n_embd=256, n_layer=4, n_head=4, bos_token_id=0, eos_token_id=0
    )
    model = GPT2LMHeadModel(config).eval()
    draw = np.random.default_rng(0).integers
    prompts = [tuple(row) for row in draw(0, VOCABULARY, (BATCH, PROMPT)).tolist()]
    answers = [tuple(row) for row in draw(0, VOCABULARY, (ACTIONS, LENGTH)).tolist()]
    tree, candidates = answer_tree(answers), torch.tensor(answers)

    def cached() -> torch.Tensor:
        first = model(torch.tensor(prompts[:1]), past_key_values=DynamicCache(config=config), use_cache=True)
        cache = first.past_key_values
        cache.batch_repeat_interleave(ACTIONS)
        later = model(candidates[:, :-1], past_key_values=cache).logits
        logits = torch.cat([first.logits[:, -1:].expand(ACTIONS, 1, -1), later], 1)
        return logits.log_softmax(-1).gather(2, candidates[..., None])[..., 0].sum(1)

    def once(function: Callable[[], object]) -> Callable[[], int]:
        def work() -> int:
            function()
            return 1

        return work

    def batch() -> int:
        tree_scores(model, prompts, tree)
        return BATCH

    with torch.inference_mode():
        wanted = full_scores(model, prompts[:1], answers)[0][0]
        for scores in (cached(), tree_scores(model, prompts[:1], tree)[0][0]):
            torch.testing.assert_close(scores, wanted, atol=1e-4, rtol=0)
        rows = [
            ("transformers, full forward per action", once(lambda: full_scores(model, prompts[:1], answers))),
            ("transformers, key-value cache of the prompt", once(cached)),
            ("ours, one pass over the tree of answers", once(lambda: tree_scores(model, prompts[:1], tree))),
            (f"ours, {BATCH} prompts at once", batch),
        ]
        rates = [rate(work, args.seconds) for _, work in rows]

    task = resolve_task("FrozenLake8x8")
    agent = LanguageModelAgent(task)
    observations = np.random.default_rng(0).integers(0, 63, 64)

    def act() -> int:
        agent.act(observations)
        return len(observations)

    rows.append(("the agent `llm` in FrozenLake8x8, 64 copies", act))
    rates.append(rate(act, args.seconds))
    table = Table(title=f"{ACTIONS} actions of {LENGTH} tokens, prompt of {PROMPT}, {args.threads} thread(s)")
    for heading in ("route", "decisions/s", "ratio"):
        table.add_column(heading, justify="left" if heading == "route" else "right")
    for (name, _), speed in zip(rows, rates, strict=True):
        table.add_row(name, f"{speed:,.1f}", f"{speed / rates[0]:,.1f}")
    Console().print(table)


if __name__ == "__main__":
    main()
