"""The Open Inference Protocol v2 over gRPC: `inference.GRPCInferenceService`, on a port of the replica's own."""
