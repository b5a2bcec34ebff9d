"""The same study drives two economists apart who differ in what they want.

Source: Jern, Chang & Kemp (2009), "Bayesian belief polarization", NIPS 22, section 3.4; kach/memo, demo-polarization.
"""

from inscape.theory_of_mind import Joint

yes_no = (False, True)
believed = (
    Joint(who=("Alice", "Bob"))
    .chance("liberal", yes_no, lambda who, liberal: 0.9 if (who == "Alice") == liberal else 0.1)
    .chance("spends", yes_no)
    .chance("study", yes_no, lambda spends, study: 0.9 if study == spends else 0.1)
    .chance("good", yes_no, lambda liberal, spends, good: 0.5 if not spends else 0.9 if liberal == good else 0.1)
)
before = believed.prob("good", given="who")[:, 1]
after = believed.prob("good", given=("study", "who"))[:, :, 1]
print(before, after[1], after[0])
