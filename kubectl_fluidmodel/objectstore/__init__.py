"""Stores of files: S3 and its relatives, and directories served over HTTP.

Start at `s3.py`. `error_codes.py` is the one table of what stores answer; `layout.py` says where
staging puts a model in a bucket.
"""
