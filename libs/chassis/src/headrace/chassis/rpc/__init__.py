"""A gRPC server and client: interceptors, errors, validation, tracing, health, tokens."""
