# The distributions, built as for a release and tried out in empty environments.

DIST := .cache/dist

.PHONY: dist test-dist

dist: setup ## Build the sdist of every distribution, and its wheel from the sdist, into .cache/dist
	@rm -rf $(DIST)
	@for folder in $(DISTRIBUTIONS); do "$(UV)" build --quiet --out-dir $(DIST) $$folder || exit 1; done
	@ls $(DIST)

test-dist: setup ## Install every distribution into empty environments and use it there (needs uv and a package registry)
	@$(BIN)/python -m pytest -q -n 2 -m dist tests/packaging
