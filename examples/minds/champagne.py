"""Who takes chocolate, although the other arm has champagne: does one prefer it, or not know?

Source: agentmodels.org, chapter 4 (utilities 5 and 3, beliefs of 0.05 or certain, alpha = 1000, five trials).
"""

from inscape.envs import enumerated_world
from inscape.theory_of_mind import Filtering, Observer, Planning, Softmax, grid


def posterior(trials):
    """Returns P(likes, what is believed) after the first arm was pulled once, `trials` before the end."""
    likes = {
        "champagne": {"champagne": 5, "chocolate": 3, "nothing": 0},
        "chocolate": {"champagne": 3, "chocolate": 5, "nothing": 0},
    }
    world = enumerated_world(
        {(prize, "", trials): 1.0 for prize in ("champagne", "nothing")}, ("arm 0", "arm 1"),
        lambda s, a: (s[0], "chocolate" if a == "arm 0" else s[0], s[2] - 1),
        goals={name: lambda s, a, t, worth=worth: worth[t[1]] for name, worth in likes.items()},
        over=lambda s: s[2] == 0, sees=lambda s: s[1:],
    )  # fmt: skip
    true, other = (world.number[prize, "", trials] for prize in ("champagne", "nothing"))
    beliefs = [Filtering({true: 1.0}), Filtering({true: 0.05, other: 0.95})]
    watch = Observer(
        world, grid(wants=list(likes), believes=beliefs, plans=Planning("soft-eval"), chooses=Softmax(1000.0))
    )
    return watch.update(true, "arm 0")


few, many = posterior(5), [posterior(trials)[2:].sum() for trials in (2, 5, 10, 20, 30, 40)]
print(few, many)
