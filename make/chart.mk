# The Helm chart in deploy/k8s, checked with the real helm.

HELM_VERSION := v4.3.1
export PATH := $(HEADRACE_TOOLS)/helm-$(HELM_VERSION):$(PATH)

.PHONY: helm chart

helm: go ## Build the real helm (minutes, once per machine)
	@$(call go_tool,helm,$(HELM_VERSION),helm.sh/helm/v4,./cmd/helm)

chart: setup helm ## Lint the Helm chart, render it with every scenario, validate each object strictly
	@for values in deploy/k8s/ci/*-values.yaml; do \
	  echo "$$values"; helm lint --strict --quiet deploy/k8s --values "$$values" || exit 1; done
	@$(BIN)/python -m pytest -q -m "chart or not chart" tests/chart
