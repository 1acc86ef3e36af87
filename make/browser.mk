# The console in a real Chromium (tests/browser), which the machine has to have: Debian's chromium.

PLAYWRIGHT := tests/browser/requirements.lock

.PHONY: test-browser

test-browser: setup ## Walk through the console in a real Chromium (needs chromium)
	@command -v chromium >/dev/null || { echo "make: chromium is missing: apt-get install chromium" >&2; exit 1; }
	@folder="playwright-$$(sha256sum <$(PLAYWRIGHT) | cut -c1-12)-$$($(BIN)/python -c 'import sys; print(sys.implementation.cache_tag)')"; \
	  make/cached "$$folder" "$(UV)" pip install --quiet --python $(BIN)/python --require-hashes -r $(PLAYWRIGHT) --target \
	  && PYTHONPATH="$(HEADRACE_TOOLS)/$$folder" $(BIN)/python -m pytest -q -m browser tests/browser
