# The Helm chart in deploy/k8s, checked with the real helm.

# Raised by hand, like the versions in tools.mk, which says how a tool is built.
HELM_VERSION := v4.3.1
HELM_STAMP := .tools/stamps/helm-$(HELM_VERSION)

.PHONY: helm chart

helm: $(HELM_STAMP) ## Build the real helm into .tools/bin (minutes, once)

$(HELM_STAMP): | .tools/stamps/go
	@$(call go_build,helm,helm.sh/helm/v4@$(HELM_VERSION),./cmd/helm)
	@test -x .tools/bin/helm && touch $@

chart: setup $(HELM_STAMP) ## Lint the Helm chart, render it with every scenario, validate each object strictly
	@for values in deploy/k8s/ci/*-values.yaml; do \
	  echo "$$values"; .tools/bin/helm lint --strict --quiet deploy/k8s --values "$$values" || exit 1; done
	@$(BIN)/python -m pytest -q -m "chart or not chart" tests/chart
