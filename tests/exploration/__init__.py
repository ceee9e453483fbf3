"""The protocol, enumerated: every state that one rotation can reach with one or two faults.

It lives among the tests, because the world in it is a model: production has no use for that. What
decides is not modelled: the protocol's tables, the planner and the judgement of machines are the
engine's own functions.
"""
