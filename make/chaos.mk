# Kills and cuts under load (tests/chaos), and what the tables say afterwards.

FAULTS ?= 40

.PHONY: chaos

chaos: setup ## Do FAULTS=40 faults to the whole system under load, by SEED=, then prove what is in its tables
	@$(BIN)/python -m tests.chaos --faults $(FAULTS) $(if $(SEED),--seed $(SEED))
