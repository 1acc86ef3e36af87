# The example clients in examples/clients: each is made from the .proto files alone, with its language's own tools.

# Raised by hand, with go.mod.
PROTOC_GEN_GO_VERSION := v1.36.12
PROTOC_GEN_GO_GRPC_VERSION := v1.6.2
GO_CLIENT := examples/clients/go
NODE_CLIENT := examples/clients/node
CLIENT_PROTOS := $(wildcard proto/headrace/jobs/v1/*.proto) proto/saas/jobs/v1/kinds.proto
# The descriptors of everything that the .proto files import; a client author has the same from `buf build`.
PROTOC = $(BIN)/python -m grpc_tools.protoc --descriptor_set_in=proto/gen/descriptors.binpb
CLIENT_FILES := $(CLIENT_PROTOS:proto/%=%) buf/validate/validate.proto

export PATH := $(HEADRACE_TOOLS)/protoc-gen-go-$(PROTOC_GEN_GO_VERSION):$(HEADRACE_TOOLS)/protoc-gen-go-grpc-$(PROTOC_GEN_GO_GRPC_VERSION):$(PATH)

.PHONY: client-go client-node protoc-gen-go protoc-gen-go-grpc

client-go: $(GO_CLIENT)/build/client ## Build the example client in Go, from the .proto files (needs a Go module proxy)

client-node: $(NODE_CLIENT)/gen ## Make the example client in Node, from the .proto files (needs npm)

# Where the generated code of each .proto file goes, as a Go import path: the files themselves name none.
go_path = $(if $(filter headrace/%,$(1)),jobsv1,$(if $(filter saas/%,$(1)),saasv1,validate))
GO_PATHS = $(foreach file,$(CLIENT_FILES),M$(file)=headrace.example/client/gen/$(call go_path,$(file)))
comma := ,
space := $() $()
GO_OPTIONS = module=headrace.example/client,$(subst $(space),$(comma),$(strip $(GO_PATHS)))

$(GO_CLIENT)/build/client: $(wildcard $(GO_CLIENT)/*.go) $(GO_CLIENT)/go.sum $(CLIENT_PROTOS) | setup protoc-gen-go protoc-gen-go-grpc
	@rm -rf $(GO_CLIENT)/gen
	@$(PROTOC) --go_out=$(GO_CLIENT) --go_opt=$(GO_OPTIONS) --go-grpc_out=$(GO_CLIENT) --go-grpc_opt=$(GO_OPTIONS) $(CLIENT_FILES)
	@$(GO_ENVIRONMENT) go build -C $(GO_CLIENT) -ldflags=-s -o build/client .

protoc-gen-go: go
	@$(call go_tool,$@,$(PROTOC_GEN_GO_VERSION),google.golang.org/protobuf,./cmd/$@)

protoc-gen-go-grpc: go
	@$(call go_tool,$@,$(PROTOC_GEN_GO_GRPC_VERSION),google.golang.org/grpc/cmd/$@,.)

$(NODE_CLIENT)/node_modules: $(NODE_CLIENT)/package-lock.json
	@command -v npm >/dev/null || { echo "make: npm is missing: install Node.js 20 or newer." >&2; exit 1; }
	@npm ci --silent --no-fund --no-audit --prefix $(NODE_CLIENT)
	@touch $@

$(NODE_CLIENT)/gen: $(CLIENT_PROTOS) $(NODE_CLIENT)/node_modules | setup
	@rm -rf $@ && mkdir $@
	@$(PROTOC) --proto_path="$$($(BIN)/python -c 'import google.rpc; print([*google.rpc.__path__][0])')/../.." \
	  --plugin=$(NODE_CLIENT)/node_modules/.bin/protoc-gen-es --es_out=$@ --es_opt=target=js,import_extension=js \
	  $(CLIENT_FILES) google/rpc/status.proto google/rpc/error_details.proto
	@touch $@
