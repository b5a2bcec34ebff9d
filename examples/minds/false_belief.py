"""What a child says who has no theory of mind yet: Sally looks where the marble is.

With the marble moved behind her back, Sally looks in the box with 0.99; one who takes her to know what oneself knows
predicts the basket. An observer of both kinds infers from one look that Sally has a belief of her own.

Source: Wimmer & Perner (1983), Cognition 13(1); the probabilities as in kach/memo, demo-sally-anne.
"""

from inscape.theory_of_mind import Joint, Proportional

places = ("box", "basket")
scene = (
    Joint(knows=("what she saw", "everything"), anne={"stays": 0.99, "moves": 0.01})
    .chance("now", places, lambda anne, now: (now == "box") == (anne == "stays"))
    .chance(
        "told", (*places, "nothing"), lambda knows, now, told: told == (now if knows == "everything" else "nothing")
    )
    .choice("looks", places, lambda looks, now: looks == now, Proportional(), knows="told")
)
after = scene.given(anne="moves", looks="box").prob("knows")
print(after)
