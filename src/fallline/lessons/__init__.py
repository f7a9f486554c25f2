"""What textbooks claim of gradient descent, each claim run and judged."""

from fallline.lessons.lesson import Check, Evidence, Lesson, Verdict, exact, measured, verdict_of

__all__ = ["Check", "Evidence", "Lesson", "Verdict", "exact", "measured", "verdict_of"]
