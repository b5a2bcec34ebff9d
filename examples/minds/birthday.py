"""Cheryl's birthday: Alice knows the month, Bob the day; what they say about what they know tells the date.

Source: kach/memo, demo-cheryl (prints April 30), a variant of a puzzle of the Singapore and Asian Schools Olympiad.
"""

from inscape.theory_of_mind import Joint

days = {"February": 29, "March": 31, "April": 30}
date = Joint(month=days).chance("day", range(1, 32), lambda month, day: day <= days[month])


def sure(believed, name, other):
    """Returns for each value of `name`: does who knows it know `other`, too?"""
    return dict(zip(believed.values[name], believed.prob(other, given=name).max(axis=1) > 1 - 1e-9))


alice, bob = sure(date, "month", "day"), sure(date, "day", "month")
heard = date.given(lambda month: not alice[month] and not any(bob[day] for day in range(1, days[month] + 1)))
bob_now = sure(heard, "day", "month")
heard = heard.given(lambda day: not bob[day] and bob_now[day])
alice_now = sure(heard, "month", "day")
heard = heard.given(lambda month: alice_now[month])
born = {(m, d): heard.p(month=m, day=d) for m in days for d in range(1, 32) if heard.p(month=m, day=d) > 0}
print(born)
