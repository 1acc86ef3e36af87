# The lease protocol as a model (docs/model), checked with Spin.

.PHONY: model

model: ## Check the model of the lease protocol in every interleaving (needs spin and gcc)
	@{ command -v spin && command -v gcc; } >/dev/null || { echo "make: the model needs spin and gcc: apt-get install spin gcc" >&2; exit 1; }
	@docs/model/check
