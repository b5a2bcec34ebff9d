"""What generated answers must keep: the tokens that were drawn, and the probabilities they were drawn with.

Plays TextRepair with a small untrained model, whose bytes often do not survive decoding and encoding again, under each
of several ways of drawing; then compares every context with the tokens so far, and every log-probability with a plain
forward pass.

python -m benchmarks.generated_text [--turns 10000]
"""

from __future__ import annotations

import argparse
import os
import time

import numpy as np
import torch

from inscape import make_agent, resolve_task
from inscape.agents.llm.generation.generating import reply_log_probs
from inscape.envs import text_env

WAYS = (
    {},
    {"temperature": 0.0},
    {"temperature": 0.5},
    {"temperature": 2.0},
    {"top_k": 20},
    {"top_p": 0.8},
    {"min_p": 0.1},
    {"temperature": 0.8, "top_k": 50, "top_p": 0.9, "min_p": 0.02},
)
COPIES = 32


def main() -> None:
    """Prints a row for each way of drawing."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--turns", type=int, default=10_000, help="in all")
    given = parser.parse_args()
    print("| drawn with | turns | contexts that differ | replies that encode otherwise | log-probabilities within |")
    print("|---|---:|---:|---:|---:|")
    began, total, wrong = time.process_time(), 0, 0
    for way in WAYS:
        settings = {"hidden_size": 32, "layers": 2, "heads": 2, "answer_tokens": 8, **way}
        learner = make_agent("llm", resolve_task("TextRepair", {"max_turns": 40}), settings=settings).learner
        turns = different = otherwise = number = 0
        worst = 0.0
        while turns < given.turns / len(WAYS):
            envs = [text_env("TextRepair", max_turns=40) for _ in range(COPIES)]
            for episode in learner.play(envs, range(number, number + COPIES), [0, number]):
                turns += len(episode.turns)
                for before, after in zip(episode.turns, episode.turns[1:]):
                    so_far = before.context + before.reply.tokens
                    kept = after.context[: len(so_far)] == so_far
                    different += not kept and not after.left_out  # a window that slides is another context
                drawn = [turn for turn in episode.turns if turn.reply.text]
                otherwise += sum(learner.encode(t.reply.text, False) != t.reply.tokens for t in drawn)
                pairs = [(turn.context, turn.reply.tokens) for turn in episode.turns[:3]]
                with torch.inference_mode():
                    plain = reply_log_probs(learner.model, pairs, learner.generator.sampling)
                for turn, expected in zip(episode.turns, plain):
                    worst = max(worst, float(np.abs(turn.reply.log_probs - expected.numpy()).max()))
            number += COPIES
        total, wrong = total + turns, wrong + different
        shown = ", ".join(f"{name} {value}" for name, value in way.items()) or "as it is"
        print(f"| {shown} | {turns:,} | {different} | {otherwise:,} | {worst:.1e} |", flush=True)
    print(f"\n{wrong} differences in {total:,} turns; {time.process_time() - began:.0f} s of processor time, "
          f"load {os.getloadavg()[0]:.1f}")  # fmt: skip


if __name__ == "__main__":
    main()
