"""Nodes that are none of kwok's: kubelet, containerd and runc, with Alluxio, FUSE and CSI on them.

Start with node.py, which says what a node is made of.  `network.py` joins the nodes and lets them
reach the control plane; `alluxio.py` and `csi.py` make the images of a real data plane, `policy.py`
sends a namespace's pods to it.
"""
