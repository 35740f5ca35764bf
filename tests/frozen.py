"""Imported last in a process that is forked: its children's garbage collector leaves all that is
imported alone. It would look through millions of objects, and copy their memory by looking."""

import gc

gc.collect()
gc.freeze()
