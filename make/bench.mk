# The benchmarks in bench/. The peers are got once, each into an environment of its own under .tools/peers.

# Raised by hand, like the versions in tools.mk.
PGQUEUER_VERSION := 1.6.0
GRAPHILE_WORKER_VERSION := 0.17.3
PEER_STAMPS := .tools/stamps/pgqueuer-$(PGQUEUER_VERSION) .tools/stamps/graphile-worker-$(GRAPHILE_WORKER_VERSION)

.PHONY: bench peers

bench: setup $(if $(AGAINST)$(filter rpc,$(ONLY)),,peers) ## Measure the engine beside its peers, and the jobs service, or both beside AGAINST=<revision> (QUICK=1, ONLY=engine|rpc)
	@$(BIN)/python -m bench $(if $(QUICK),--quick) $(if $(ONLY),--only $(ONLY)) $(if $(AGAINST),--against $(AGAINST))

peers: $(PEER_STAMPS) ## Install the queues that the engine is measured beside

.tools/stamps/pgqueuer-$(PGQUEUER_VERSION):
	@mkdir -p $(@D)
	@$(PYTHON) -m venv .tools/peers/pgqueuer
	@.tools/peers/pgqueuer/bin/pip install --quiet --disable-pip-version-check "pgqueuer[asyncpg]==$(PGQUEUER_VERSION)" uvloop
	@touch $@

.tools/stamps/graphile-worker-$(GRAPHILE_WORKER_VERSION):
	@command -v npm >/dev/null || { echo "make: npm is missing: install Node.js 20 or newer." >&2; exit 1; }
	@mkdir -p $(@D)
	@npm install --silent --no-fund --no-audit --prefix .tools/peers/graphile-worker graphile-worker@$(GRAPHILE_WORKER_VERSION)
	@touch $@
