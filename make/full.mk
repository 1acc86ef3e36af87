# What `make test-full` has beyond `make test`, each part with a separate target. A part that can't run on this machine
# prints `SKIPPED name: why`.

.PHONY: test-full test-traces test-pythons test-images test-cluster test-timing soak

test-full: setup ## Run everything: make test, other languages, browser, chart, model, traces, soak, Pythons, images, a cluster, timing
	+@make/test-full $(MAKE)

test-traces: setup jaeger ## Drive the main journey, and read its trace from the real Jaeger
	@$(BIN)/python -m local_stack --once

test-pythons: setup ## Install the distributions' wheels on each Python among 3.11 to 3.13 that is here, and test the engine on it
	@for version in 3.11 3.12 3.13; do make/test-python $$version $(DISTRIBUTIONS) || exit 1; done

test-images: ## Build the images and start their programs (needs a Docker daemon)
	@make/test-images

test-cluster: helm ## Have a cluster's API server accept what the chart renders (needs kubectl and a cluster; changes nothing there)
	@make/test-cluster

test-timing: ## Run the benchmarks with small numbers, beside their peers (needs npm)
	@$(MAKE) --no-print-directory bench QUICK=1

soak: ## Do many faults, then look among millions of finished jobs (the better part of an hour)
	@$(MAKE) --no-print-directory chaos FAULTS=300
	@$(MAKE) --no-print-directory lookups
