"""The Alluxio stand-in: answers ``alluxio …`` truthfully about the real store behind a mount.

It keeps no data.  What a master would know - mounts, files, which bytes lie on which worker - is in
one JSON file per dataset; what the store holds is asked of the store, with the mount's credentials.
Only the standard library is imported: a controller runs these commands every second.
"""
