"""What every Headrace service stands on: settings, logs, traces, gRPC servers and clients, life cycle."""
