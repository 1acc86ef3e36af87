"""The gRPC methods that workers call, and the service's errors as gRPC statuses."""
