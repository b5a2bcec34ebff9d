"""Sally and Anne: Sally looks where she believes the marble to be, which may not be where it is.

Source: Wimmer & Perner (1983), Cognition 13(1); kach/memo, demo-sally-anne (prints the table: 0.99, 0.01; 1, 0; 0, 1).
"""

from inscape.theory_of_mind import Joint, Proportional

places = ("box", "basket")
scene = (
    Joint(first=places)
    .chance("anne", {"stays": 0.99, "moves": 0.01})
    .chance("now", places, lambda first, anne, now: (now == first) == (anne == "stays"))
    .chance("seen", ("nothing", "stays", "moves"), lambda anne, seen: seen in ("nothing", anne))
    .choice("looks", places, lambda looks, now: looks == now, Proportional(), knows=("first", "seen"))
)
looks = scene.prob("looks", given=("first", "seen"))
print(looks)
