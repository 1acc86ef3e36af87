# The benchmarks in bench/. The peers are installed once per machine, each into a separate environment.

# Raised by hand.
PGQUEUER_VERSION := 1.6.0
GRAPHILE_WORKER_VERSION := 0.17.3
PEERS := peers-$(PGQUEUER_VERSION)-$(GRAPHILE_WORKER_VERSION)
export BENCH_PEERS := $(HEADRACE_TOOLS)/$(PEERS)

.PHONY: bench peers

bench: setup $(if $(AGAINST)$(filter rpc,$(ONLY)),,peers) ## Measure the engine beside its peers, and the jobs service, or both beside AGAINST=<revision> (QUICK=1, ONLY=engine|rpc)
	@$(BIN)/python -m bench $(if $(QUICK),--quick) $(if $(ONLY),--only $(ONLY)) $(if $(AGAINST),--against $(AGAINST))

peers: ## Install the queues that the engine is measured beside (once per machine)
	@command -v npm >/dev/null || { echo "make: npm is missing: install Node.js 20 or newer." >&2; exit 1; }
	@$(GET_UV)
	@make/cached $(PEERS) make/get-peers "$(PYTHON)" $(PGQUEUER_VERSION) $(GRAPHILE_WORKER_VERSION)
