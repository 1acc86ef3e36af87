# The console in a real Chromium (tests/browser), which the machine has to have: Debian's chromium.

.PHONY: test-browser

test-browser: setup .tools/stamps/playwright ## Walk through the console in a real Chromium (needs chromium)
	@command -v chromium >/dev/null || { echo "make: chromium is missing: apt-get install chromium" >&2; exit 1; }
	@PYTHONPATH=.tools/browser $(BIN)/python -m pytest -q -m browser tests/browser

.tools/stamps/playwright: tests/browser/requirements.lock | setup
	@mkdir -p $(@D)
	@rm -rf .tools/browser
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --require-hashes --target .tools/browser -r $<
	@touch $@
