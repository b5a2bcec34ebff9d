"""Some sprouted: a listener who thinks about the speaker infers that not all did.

Source: agentmodels.org, chapter 7 (states 0 to 3, alpha = 2); Goodman & Stuhlmueller (2013), Topics in Cognitive
Science 5(1).
"""

from inscape.theory_of_mind import Joint

true = {"all": lambda state: state == 3, "some": lambda state: state > 0, "none": lambda state: state == 0}
heard = Joint(sentence=tuple(true)).chance("state", range(4), lambda sentence, state: true[sentence](state))
literal = heard.prob("state", given="sentence")
said = Joint(state=range(4)).chance("sentence", tuple(true), literal.T**2, given="state")
speaker, listener = said.prob("sentence", given="state"), said.prob("state", given="sentence")
print(literal[1], speaker[3], listener[1], sep="\n")
