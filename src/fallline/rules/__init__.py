"""The update rules: each file is one method, as its paper prints it, with the record of what else is known of it.

A new rule is one new file, with its formula and its `RECORDS`; `registry` imports all files and finds what they hold.
Type checkers and editors read the names in `__init__.pyi`, which tools/stubs.py writes.
"""

from fallline.rules.record import (
    ADAPTIVE,
    AVERAGE,
    FROM_ZERO,
    HYPERPARAMETERS,
    PLAIN,
    RELATIVE,
    SUM,
    Interval,
    Moment,
    Record,
    Twin,
)
from fallline.rules.registry import (
    ALL,
    COMBINATORS,
    DEFAULT_ARMS,
    RECORDS,
    find,
    interval_of,
    name_of,
    plain_name,
    record_of,
    unmet,
)
from fallline.rules.schedule_free import keeps_average

globals().update({**COMBINATORS, **ALL})
__all__ = [
    "ADAPTIVE", "ALL", "AVERAGE", "COMBINATORS", "DEFAULT_ARMS", "FROM_ZERO", "HYPERPARAMETERS", "PLAIN", "RECORDS",
    "RELATIVE", "SUM", "Interval", "Moment", "Record", "Twin", "find", "interval_of", "keeps_average", "name_of",
    "plain_name", "record_of", "unmet", *COMBINATORS, *ALL,
]  # fmt: skip
