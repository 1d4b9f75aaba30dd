#!/bin/bash
# What Fluid's chart starts: one process of Alluxio, by its role.
set -e
alluxio=/opt/alluxio/bin/alluxio
case "$1" in
master | master-only)
	if [ "$2" != --no-format ]; then $alluxio formatMaster; fi
	exec $alluxio serve master
	;;
worker | worker-only)
	if [ "$2" != --no-format ]; then $alluxio formatWorker; fi
	exec $alluxio serve worker
	;;
job-master | job-worker) exec $alluxio serve "$1" ;;
fuse)
	# fuse --fuse-opts=a,b MOUNTPOINT PATH
	at=${3:-${MOUNT_POINT:-/mnt/alluxio-fuse}}
	options=()
	for each in $(echo "${2#--fuse-opts=}" | tr , ' '); do options+=(-o "$each"); done
	# Of a client before this one that was killed, the mount is still there, and dead.
	umount "$at" 2>/dev/null || true
	mkdir -p "$at"
	exec $alluxio serve fuse -m "$at" -a "${4:-/}" "${options[@]}"
	;;
*) echo "no such role: $1" >&2 && exit 1 ;;
esac
