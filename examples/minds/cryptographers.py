"""Three cryptographers find out whether one of them paid, and not who: a mind that cannot know.

Source: Chaum (1988), Journal of Cryptology 1; kach/memo, demo-dining-cryptographers (prints A's sixteen beliefs).
"""

from inscape.theory_of_mind import Joint

bit = (0, 1)
believed = (
    Joint(payer=("B", "C", "NSA"), coin_a=bit, coin_b=bit, coin_c=bit)
    .chance("says_b", bit, lambda payer, coin_b, coin_c, says_b: says_b == coin_b ^ coin_c ^ (payer == "B"))
    .chance("says_c", bit, lambda payer, coin_a, coin_c, says_c: says_c == coin_c ^ coin_a ^ (payer == "C"))
)
payer = believed.prob("payer", given=("coin_a", "coin_b", "says_b", "says_c"))
print(payer.reshape(16, 3))
