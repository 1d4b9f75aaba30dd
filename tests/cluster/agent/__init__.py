"""The node agent: what a kubelet would really do for the pods that kwok cannot play.

Pods of Jobs and Alluxio masters run as processes of this machine, with their volumes, environment,
probes, logs and exit codes; everything else is left to kwok's stages.
"""
