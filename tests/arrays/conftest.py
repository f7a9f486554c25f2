"""The arrays are as small as the tensors of the tests of training."""

from tests.training.conftest import one_thread as one_thread
