"""Loading without looking for garbage."""

import gc

from flows.common.loading import undisturbed


def test_nothing_is_looked_through_while_loading_and_what_was_loaded_never():
    frozen = gc.get_freeze_count()
    try:
        with undisturbed():
            assert not gc.isenabled()
        assert gc.isenabled()
        assert gc.get_freeze_count() > frozen
        gc.disable()
        with undisturbed():
            pass
        assert not gc.isenabled()
    finally:
        gc.enable()
