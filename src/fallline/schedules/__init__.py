"""Learning rates over time: pure functions of the step that compose, and drive any torch optimizer.

A schedule gives *factors*: the rate of a param group at a step is the group's own base rate times the factor. So one
schedule serves groups with different rates, and the base rate stays a thing to search. Steps count from 0: the factor
of step 0 is used by the first update.

>>> schedule = 0.5 * warmup(5).then(cosine(95))
>>> [schedule(step) for step in (0, 1, 5, 100)]
[0.0, 0.1, 0.5, 0.0]
"""

from fallline.schedules.laws import cosine as cosine
from fallline.schedules.laws import exponential as exponential
from fallline.schedules.laws import inverse_square_root as inverse_square_root
from fallline.schedules.laws import inverse_time as inverse_time
from fallline.schedules.laws import linear as linear
from fallline.schedules.laws import milestones as milestones
from fallline.schedules.laws import polynomial as polynomial
from fallline.schedules.laws import staircase as staircase
from fallline.schedules.laws import table as table
from fallline.schedules.recipes import large_minibatch as large_minibatch
from fallline.schedules.recipes import linear_scaling as linear_scaling
from fallline.schedules.recipes import one_cycle as one_cycle
from fallline.schedules.recipes import warmup as warmup
from fallline.schedules.recipes import warmup_stable_decay as warmup_stable_decay
from fallline.schedules.schedule import Schedule as Schedule
from fallline.schedules.schedule import constant as constant
