"""Judging a race: the statistics, the three questions, the sentence and the warnings."""
