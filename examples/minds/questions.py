"""Which question about the sum of two dice tells most about them?

Source: Rothe, Lake & Gureckis (2018), Computational Brain & Behavior 1; kach/memo, demo-eig (prints fourteen, in nats).
"""

import math

from inscape.theory_of_mind import Joint

dice = Joint(red=range(1, 7), blue=range(1, 7)).chance("sum", range(2, 13), lambda red, blue, sum: red + blue == sum)
questions = {
    "even": lambda n: n % 2 == 0, "over 6": lambda n: n > 6, "prime": lambda n: n in (2, 3, 5, 7, 11),
    "over 5": lambda n: n > 5, "over 8": lambda n: n > 8, "over 10": lambda n: n > 10, "square": lambda n: n in (4, 9),
    "threes": lambda n: n % 3 == 0, "fours": lambda n: n % 4 == 0, "fives": lambda n: n % 5 == 0,
    "power of 2": lambda n: n in (2, 4, 8), "7": lambda n: n == 7, "12": lambda n: n == 12,
}  # fmt: skip
nats = {}
for name, holds in questions.items():
    asked = dice.chance("answer", (False, True), lambda sum, answer, holds=holds: holds(sum) == answer)
    nats[name] = math.log(2) * asked.information("answer", about=("red", "blue"))
    print(f"{nats[name]:.5f}  {name}")
