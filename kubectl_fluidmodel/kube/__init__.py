"""The only door to the API server. It knows Kubernetes, and neither Fluid nor Dynamo."""
