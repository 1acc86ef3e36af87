"""The jobs service: a gRPC server over the engine, and a worker with the product's handlers."""
