"""Waiting for a condition, never for a time."""
import time

# Far longer than anything takes, also under a sanitizer on a busy machine.
DEADLINE = 20.0


def eventually(condition, what, deadline=DEADLINE):
    """Returns the first true value of condition(); for what cannot be waited on."""
    end = time.monotonic() + deadline
    while True:
        value = condition()
        if value:
            return value
        if time.monotonic() > end:
            raise AssertionError(f"never came true: {what}")
        time.sleep(0.005)
