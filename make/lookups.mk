# What look-ups and hot statements read beside millions of finished jobs (tests/lookups).

ROWS ?= 5000000

.PHONY: lookups

lookups: setup ## Load ROWS=5000000 finished jobs, and see that no list and no hot statement reads more for it
	@$(BIN)/python -m tests.lookups --rows $(ROWS)
