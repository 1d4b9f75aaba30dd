"""The shapes of a graph in Dynamo's API versions, one module each."""
