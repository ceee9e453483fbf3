"""The protocol, enumerated: every state that one rotation can reach with one or two faults.

It lives among the tests, because the world in it is a model: production has no use for that. What
decides is not modelled: the protocol's tables, the planner and the judgement of machines are the
engine's own functions.

What is assumed: a call that has gone out arrives before its claim has run out (the margin of
`Tenure` is for that); a lease that nobody refreshes has run out by the time that another worker
wants it; a list shows what is older than `list_lag`; a machine that nobody harms becomes healthy.
"""
