"""Several problems at once: how often each arm is fast, as performance profiles."""
