"""Every published figure again, from the recordings: the command `emopi reproduce`.

plan -> crew or cluster of workers -> results -> findings -> report, illustrations
"""
