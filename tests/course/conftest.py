"""The course's networks are as small as those of the tests of training."""

from tests.training.conftest import one_thread as one_thread
